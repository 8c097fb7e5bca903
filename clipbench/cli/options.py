"""Options that several subcommands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from clipbench.cli.command import joined
from clipbench.cli.completion import complete_data, complete_tasks
from clipbench.cli.config_file import read_config
from clipbench.cli.console import FORMATS
from clipbench.cli.values import Limit, parse_batch_size, parse_pairs
from clipbench.models.spec import TEXT_CLEANINGS

F = TypeVar("F", bound=Callable[..., Any])

model_args_option = click.option(
    "--model_args",
    "-a",
    multiple=True,
    callback=joined,
    metavar="K=V,…|JSON",
    help="pretrained=…, revision=…, dtype=…; repeatable.",
)

text_cleaning_option = click.option(
    "--text_cleaning",
    type=click.Choice(TEXT_CLEANINGS),
    help="How captions are cleaned: as the model's text tower was trained (default), or as its library does it.",
)

config_option = click.option(
    "--config",
    "-C",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=read_config,
    is_eager=True,
    expose_value=False,
    help="A YAML file of flags; command-line flags take precedence.",
)


def task_options(command: F) -> F:
    """``--tasks``, ``--data``, ``--include_path``, ``--limit``, ``--streaming``, ``--format``, ``--config``."""
    for option in reversed(
        (
            click.option(
                "--tasks", "-t", required=True, metavar="NAMES", multiple=True, callback=joined,
                shell_complete=complete_tasks,
                help="Tasks, groups, tags, globs, YAML files or folders of them, separated by commas. Repeatable.",
            ),
            click.option(
                "--data", multiple=True, metavar="NAME=PLACE", shell_complete=complete_data,
                help="Where a data set is: a local copy, or hub:OWNER/NAME[@REVISION][:SPLIT]. Repeatable.",
            ),
            click.option(
                "--include_path", multiple=True, type=click.Path(path_type=Path), metavar="PATH",
                help="A .py or .yaml file, or a folder of them, with additional tasks. Repeatable.",
            ),
            click.option(
                "--limit", "-L", type=Limit(),
                help="Evaluate at most N samples per task, or a share of them, such as 0.1.",
            ),
            click.option("--streaming", is_flag=True, help="Stream hub data sets instead of downloading them."),
            click.option(
                "--num_workers", type=click.IntRange(min=1), default=2, show_default=True,
                help="Threads that decode images.",
            ),
            click.option("--format", "style", type=click.Choice(FORMATS), default="table", show_default=True),
            config_option,
        )
    ):  # fmt: skip
        command = option(command)
    return command


def evaluation_options(command: F) -> F:
    """``task_options``, ``--batch_size`` and ``--allow_missing``, handed over as ``options``: EvaluationOptions."""

    @wraps(command)
    def with_options(
        *,
        data: tuple[str, ...],
        include_path: tuple[Path, ...],
        limit: int | float | None,
        streaming: bool,
        num_workers: int,
        batch_size: str,
        allow_missing: bool,
        text_template: str,
        lowercase: bool,
        **others: Any,
    ) -> Any:
        from clipbench.evaluation.options import EvaluationOptions

        options = EvaluationOptions(
            data=parse_pairs(data, "--data"),
            batch_size=parse_batch_size(batch_size),
            limit=limit,
            allow_missing=allow_missing,
            streaming=streaming,
            workers=num_workers,
            include_path=include_path,
            text_template=text_template,
            lowercase=lowercase,
        )
        return command(options=options, **others)

    decorated: Any = with_options
    for option in (
        click.option(
            "--text_template",
            default="{}",
            metavar="TEXT",
            help="Template for every text before it is encoded: 'a photo of {}'.",
        ),
        click.option("--lowercase", is_flag=True, help="Lower-case every text before it is encoded."),
        click.option("--allow_missing", is_flag=True, help="Evaluate even if images or rows are missing."),
        click.option(
            "--batch_size", "-b", default="auto", show_default=True, help="N or auto; halved when memory runs out."
        ),
        task_options,
    ):
        decorated = option(decorated)
    return cast(F, decorated)
