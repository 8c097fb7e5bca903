"""How a table for a paper is written: flags that `leaderboard` and `compare` share."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import click

from clipbench.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

_UNCERTAINTIES = ("stderr", "interval", "none")  # clipbench.analysis.leaderboard.paper_table imports numpy


def paper_table_options(command: F) -> F:
    """``--uncertainty``, ``--transpose``, ``--caption`` and ``--label``, handed over as ``table``: a dictionary."""

    @wraps(command)
    def with_options(*, uncertainty: str | None, transpose: bool, caption: str, label: str, **others: Any) -> Any:
        given = {"uncertainty": uncertainty, "transpose": transpose, "caption": caption, "label": label}
        return command(table={name: value for name, value in given.items() if value}, **others)

    decorated: Any = with_options
    for option in (
        click.option("--label", default="", metavar="NAME", help="In LaTeX: what \\ref finds the table by."),
        click.option("--caption", default="", metavar="TEXT", help="In LaTeX and Markdown: the table's caption."),
        click.option("--transpose", is_flag=True, help="In LaTeX and Markdown: tasks as rows, models as columns."),
        click.option(
            "--uncertainty",
            type=click.Choice(_UNCERTAINTIES),
            help="In LaTeX and Markdown: standard errors, 95 % intervals, or neither.  [stderr]",
        ),
    ):
        decorated = option(decorated)
    return cast(F, decorated)


def check_table_options(table: dict[str, Any], style: str) -> None:
    """Refuse those that a format has no use for, and a label that LaTeX cannot take."""
    if not re.fullmatch(r"[A-Za-z0-9:_./ -]*", label := table.get("label", "")):
        raise ConfigError(f"--label {label}: give letters, digits and : _ . / -")
    unused = set(table) if style not in ("latex", "markdown") else set(table) & {"label"} if style == "markdown" else ()
    for name in sorted(unused):
        raise ConfigError(f"--{name} is for {'LaTeX' if name == 'label' else 'LaTeX and Markdown'}, not for {style}")
