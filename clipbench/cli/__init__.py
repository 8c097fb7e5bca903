"""The command line: one file per subcommand. The only part of clipbench that prints and exits."""

from __future__ import annotations

import importlib
import os
import sys

import click

from clipbench.cli.console import complain
from clipbench.errors import ClipbenchError, ConfigError, UnknownName

_COMMANDS = {
    "cache": "List, check and remove embeddings that are kept between runs.",
    "compare": "Test whether one run is better than another, on the same samples.",
    "eval": "Score a model on tasks.",
    "interpolate": "Score the models between a model and its fine-tuned version.",
    "leaderboard": "Put results together to one board of models × tasks.",
    "finetune": "Train a model on hard negatives.",
    "ls": "List tasks, groups, tags, models, concepts or studies.",
    "negatives": "Write captions with their keyword exchanged.",
    "push": "Put results on the hub.",
    "reproduce": "Run a whole study, such as the paper, and report it.",
    "rescore": "Compute metrics again from logged scores, without a model.",
    "scenes": "Write the embedded world of drawn scenes to files.",
    "show": "Draw logged samples as a contact sheet.",
    "tradeoff": "Draw the trade-offs of several runs in one figure.",
    "validate": "Go through tasks' data without a model.",
}
_ALIASES = {"run": "eval"}


class _LazyGroup(click.Group):
    """Imports a subcommand when it is called, so that `--help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = _ALIASES.get(cmd_name, cmd_name)
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(f"clipbench.cli.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


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

    Exit codes: 0 all well; 1 a task failed or something could not be read or written; 2 bad usage;
    130 interrupted.
    """
    try:
        sys.exit(cli.main(args=args, prog_name="clipbench", standalone_mode=False) or 0)
    except (ConfigError, UnknownName) as error:
        complain(str(error))
        sys.exit(2)
    except ClipbenchError as error:
        complain(str(error))
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # The reader (`| head`) has enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
