"""The command line: one file per subcommand. The only part of clipbench that prints and exits."""

from __future__ import annotations

import errno
import importlib
import os
import sys

import click

from clipbench.cli.console import complain
from clipbench.cli.streams import discard, open_standard_streams
from clipbench.errors import ClipbenchError, ConfigError, UnknownName

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
_ALIASES = {"run": "eval"}


class _LazyGroup(click.Group):
    """Imports a subcommand only when it is called, which keeps `--help` fast."""

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
