"""The command line: one file per subcommand. The only part of clipbench that prints and exits."""

from __future__ import annotations

import errno
import importlib
import os
import sys

import click

from clipbench.cli.console import complain
from clipbench.cli.foreign_flags import explain_command
from clipbench.cli.streams import discard, open_standard_streams
from clipbench.errors import ClipbenchError, ConfigError, UnknownName
from clipbench.utils.allocator import keep_freed_memory
from clipbench.utils.registry import close_matches

# By workflow, in the order of the help.
_SECTIONS = {
    "Evaluate": {
        "eval": "Score a model on tasks.",
        "validate": "Check tasks' data without a model.",
        "ls": "List tasks, groups, tags, models, concepts or studies.",
        "embed": "Write the embeddings of tasks' images and texts.",
        "import_scores": "Score tasks with similarities computed elsewhere.",
        "cache": "List, check and remove cached embeddings.",
    },
    "Look and compare": {
        "show": "Draw logged samples as a contact sheet.",
        "compare": "Test whether one run is better than another, on the same samples.",
        "leaderboard": "Merge results into a leaderboard of models × tasks.",
        "rescore": "Recompute metrics from logged scores, without a model.",
        "push": "Upload results to the Hugging Face Hub.",
        "cite": "Write the BibTeX of tasks.",
    },
    "Train": {
        "finetune": "Train a model on hard negatives.",
        "negatives": "Write captions with their keyword replaced.",
        "mine": "Find captions with a concept's keyword in large collections.",
        "interpolate": "Score the models between a model and its fine-tuned version.",
        "tradeoff": "Draw the trade-offs of several runs in one figure.",
    },
    "Make a benchmark": {
        "annotate": "Make a challenge set from photographs: serve, propose, export, push.",
    },
    "Reproduce": {
        "reproduce": "Run a whole study, such as the paper, and report it.",
        "scenes": "Write the synthetic scenes to files.",
    },
}
_COMMANDS = {name: text for section in _SECTIONS.values() for name, text in section.items()}
_ALIASES = {"run": "eval", "evaluate": "eval", "list": "ls"}


class _LazyGroup(click.Group):
    """Imports a subcommand only when it is called, which keeps `--help` fast."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without a subcommand it is `eval`, as in lm-evaluation-harness."""
        own = {"-h", *(name for param in self.get_params(ctx) for name in param.opts)}
        if args and args[0].startswith("-") and args[0] not in own:
            args = ["eval", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, but what other command lines call a subcommand is answered."""
        name = _underscores(args[0])
        if name not in _COMMANDS and name not in _ALIASES and not ctx.resilient_parsing:
            answer = explain_command(name) or f"no such command{close_matches(name, _COMMANDS)}; --help lists them"
            raise ConfigError(f"{args[0]}: {answer}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = _underscores(cmd_name)
        name = _ALIASES.get(name, name)
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(f"clipbench.cli.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Shell completion"):
            formatter.write_text(
                'In bash: eval "$(_CLIPBENCH_COMPLETE=bash_source clipbench)"; zsh_source, fish_source'
            )


def _underscores(name: str) -> str:
    return name.replace("-", "_")


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _underscores},
)
@click.version_option(package_name="clipbench", message="%(prog)s %(version)s")
def cli() -> None:
    """Benchmarks for CLIP-like models: do they know a white cat from a brown one?"""


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0 success; 1 a task failed or something could not be read or written; 2 bad usage; 130 interrupted.
    """
    open_standard_streams()
    keep_freed_memory()
    if "_CLIPBENCH_COMPLETE" in os.environ:
        importlib.import_module("clipbench.cli.completion")  # which knows how bash cuts words
    sys.exit(_exit_code(args))


def _exit_code(args: list[str] | None) -> int:
    try:
        _check_environment()
        return cli.main(args=args, prog_name="clipbench", standalone_mode=False) or 0
    except (ConfigError, UnknownName) as error:
        return _failed(str(error), 2)
    except ClipbenchError as error:
        return _failed(str(error), 1)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _failed(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _failed("interrupted", 130)
    except BrokenPipeError:  # of `--help | head`
        discard(sys.stdout)
        return 0
    except MemoryError:
        return _failed("out of memory: a smaller batch_size, fewer num_workers or a limit may help", 1)
    except OSError as error:
        discard(sys.stdout)
        where = f"{error.filename}: " if error.filename else ""
        return _failed(f"{where}{error.strerror or error}", 2 if error.errno == errno.ENAMETOOLONG else 1)


def _check_environment() -> None:
    """Check variables that libraries parse as numbers while they are imported."""
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT", "HF_DATASETS_IN_MEMORY_MAX_SIZE"):
        value = os.environ.get(name)
        if value is not None and not (value.isascii() and value.isdecimal() and len(value) < 12):
            raise ConfigError(f"{name} is {value!r}: give a whole number, or unset it")


def _failed(message: str, code: int) -> int:
    complain(message)
    return code
