"""Everything that is printed: results on stdout, progress and messages on stderr."""

from __future__ import annotations

import html
import json
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from clipbench.cli.command import name_flags
from clipbench.cli.streams import write
from clipbench.utils.text import shorten

if TYPE_CHECKING:
    from clipbench.analysis.standings import Standing
    from clipbench.results import Measure, Results

FORMATS = ("table", "json", "markdown")
_MARKDOWN = re.compile(r"[\\|`\[\]]")  # what would end a cell, or make code, a link or an image
_REPLACED = {"Cc": "?", "Cf": "?", "Cs": "?", "Zl": " ", "Zp": " "}  # control, direction, surrogates, line ends


def complain(message: str) -> None:
    """Report on stderr, in one line, what went wrong."""
    write(f"clipbench: error: {_message(message)}\n", err=True)


class Complaints:
    """Reports errors while the rest goes on, and knows whether there were any."""

    def __init__(self) -> None:
        self.any = False

    def __call__(self, message: str) -> None:
        """Report an error."""
        self.any = True
        complain(message)


def note(message: str) -> None:
    """Report something on stderr, in one line."""
    write(f"clipbench: {_message(message)}\n", err=True)


def say(text: object) -> bool:
    """Print one or more lines on stdout; returns whether the reader is still there."""
    return write(f"{printable(str(text))}\n")


def say_json(value: object, *, indent: int | None = 2) -> bool:
    """Print a value as JSON on stdout; returns whether the reader is still there."""
    return write(_json_escapes(json.dumps(value, indent=indent, ensure_ascii=False)) + "\n")


def say_file(text: str) -> bool:
    """Print the content of a JSON, CSV, Markdown, LaTeX or HTML file on stdout, with control characters escaped."""
    return write(_json_escapes(text))


def _message(text: str) -> str:
    context = click.get_current_context(silent=True)
    return shorten(" ".join(printable(name_flags(text, context.command if context else None)).split()))


def printable(text: str) -> str:
    r"""Replace what would steer a terminal: control characters and escape sequences in names and captions.

    Examples:
        >>> printable("a\x1b[31mred\x07.png")
        'a?[31mred?.png'
    """
    if text.isprintable():
        return text
    return "".join(_REPLACED.get(unicodedata.category(sign), sign) if sign not in "\n\t" else sign for sign in text)


def _json_escapes(text: str) -> str:
    r"""Escape characters that would control a terminal as JSON does, which loses nothing.

    Examples:
        >>> print(_json_escapes('{"a": "\u202egnp.exe"}'))
        {"a": "\u202egnp.exe"}
    """
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        json.dumps(sign)[1:-1] if sign not in "\n\r\t" and unicodedata.category(sign) in _REPLACED else sign
        for sign in text
    )


def print_rows(headers: Sequence[str], rows: Sequence[Sequence[object]], style: str) -> None:
    """Print a table on stdout.

    Args:
        headers: Column titles.
        rows: One sequence of cells per row; numbers are right-aligned.
        style: One of ``FORMATS``. A table is drawn on a terminal and plain if piped.
    """
    if style == "json":
        say_json([dict(zip(headers, row, strict=True)) for row in rows])
        return
    headers = [_cell(header, style) for header in headers]
    rows = [[_cell(cell, style) for cell in row] for row in rows]
    if style == "table" and sys.stdout.isatty():
        _print_rich(headers, rows)
    else:
        from tabulate import tabulate

        layout = "github" if style == "markdown" else "simple"
        # Cells come formatted: tabulate must not parse `0.50` back into 0.5.
        alignment = _alignment(headers, rows)
        write(tabulate(rows, headers, tablefmt=layout, disable_numparse=True, colalign=alignment) + "\n")


def _cell(value: object, style: str) -> str:
    text = printable(str(value)).replace("\n", " ")
    return _MARKDOWN.sub(r"\\\g<0>", html.escape(text, quote=False)) if style == "markdown" else text


def _alignment(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str] | None:
    return ["right" if _numeric(rows, column) else "left" for column in range(len(headers))] if rows else None


def _numeric(rows: Sequence[Sequence[object]], column: int) -> bool:
    cells = [str(row[column]) for row in rows]
    return all(not cell or cell[0] in "0123456789.-+" for cell in cells)


def _print_rich(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for column, header in enumerate(headers):
        table.add_column(escape(header), justify="right" if rows and _numeric(rows, column) else "left")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console = Console(emoji=False, highlight=False)
    with console.capture() as drawn:
        console.print(table)
    write(drawn.get())


def print_results(results: Results, style: str) -> None:
    """Print a run's results on stdout: all of them as JSON, or the metrics as a table."""
    if style == "json":
        say_file(results.to_json())
        return
    rows: list[list[str]] = []
    for name, result in results.tasks.items():
        version, counts = str(result.version), result.counts
        if not result.metrics:
            cells = ["failed", "", "", ""] if result.error else [result.primary_metric, *_cells(None), ""]
            cells.append("")
            rows.append([name, version, *cells, f"0/{counts.original}"])
        amount = f"{counts.effective}/{result.expected_n or counts.original}"
        for place, (metric, measure) in enumerate(result.metrics.items()):
            floors = (result.chance, result.best_blind) if metric == result.primary_metric else (None, None)
            start, end = ([name, version], amount) if place == 0 else (["", ""], "")
            rows.append([*start, metric, *_cells(measure), *map(_floor, floors), end])
    for name, group in results.groups.items():
        if group.metric:
            title = f"{name}, mean" if group.complete else f"{name} (incomplete), mean"
            rows.append([title, "", group.metric, *_cells(group.mean), "", "", f"{len(group.tasks)} tasks"])
    print_rows(["task", "version", "metric", "value", "stderr", "chance", "blind", "n"], rows, style)


def print_standings(rows: Sequence[Standing], results: Mapping[str, Results | None], style: str) -> None:
    """Print several models' results on stdout: all of them as JSON, or a table of tasks by models.

    The best value of a task is marked ``*``, and those significantly worse ``-``.
    """
    if style == "json":
        say_json(
            {
                "results": {name: None if one is None else json.loads(one.to_json()) for name, one in results.items()},
                "standings": [asdict(row) for row in rows],
            }
        )
        return
    tasks = {row.task: row.metric for row in rows if row.metric}
    cells = {(row.task, row.model): row for row in rows}
    table = [
        [task, metric, *_floors(task, results.values()), *(_standing(cells.get((task, model))) for model in results)]
        for task, metric in tasks.items()
    ]
    print_rows(["task", "metric", "chance", "blind", *results], table, style)
    if table:
        note("* best on the task; - significantly worse (exact paired test by image, p < 0.05 with Holm's correction)")


def _floors(task: str, runs: Iterable[Results | None]) -> tuple[str, str]:
    """Chance and the best rule that sees no image, from the first model that was scored on the task."""
    scored = (run.tasks[task] for run in runs if run is not None and task in run.tasks and run.tasks[task].metrics)
    result = next(scored, None)
    return ("", "") if result is None else (_floor(result.chance), _floor(result.best_blind))


def _standing(row: Standing | None) -> str:
    if row is None or row.value is None:
        return "failed"
    return f"{row.value:.4f}{'*' if row.best else '-' if row.worse else ' '}"


def print_profile(profile: Mapping[str, Any]) -> None:
    """Report on stderr where a run's time went."""
    stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in profile["seconds"].items())
    note(f"time: {stages} (decoding is summed over threads)")
    for what in ("images", "texts"):
        rate = profile[f"{what}_per_second"]
        asked = f" of {profile['texts_asked']:,} asked for" if what == "texts" else ""
        note(f"{profile[what]:,} {what} encoded{asked}" + (f", {rate:,.1f} {what}/s" if rate else ""))
    if profile.get("tokens_asked"):
        share = profile["tokens"] / profile["tokens_asked"]
        note(f"{profile['tokens']:,} tokens computed, of {profile['tokens_asked']:,} with padding ({share:.1%})")


def _floor(share: float | None) -> str:
    return "" if share is None else f"{share:.4f}"


def _cells(measure: Measure | None) -> list[str]:
    """A value and its standard error."""
    if measure is None:
        return ["–", "–"]
    return [f"{measure.value:.4f}", "–" if measure.stderr is None else f"± {measure.stderr:.4f}"]


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show one bar per task on stderr; nothing if stderr is not a terminal.

    Yields:
        A function that takes a task's name, samples done, and samples in all if known.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars: dict[str, TaskID] = {}
    shown = 0.0
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:

        def advance(name: str, done: int, total: int | None) -> None:
            nonlocal shown
            if name not in bars:
                bars[name] = progress.add_task(name, total=total)
            # Drawing takes as long as scoring a sample: ten times per second is enough.
            elif done != total and time.monotonic() < shown + 0.1:
                return
            shown = time.monotonic()
            progress.update(bars[name], completed=done, total=total)

        yield advance


@contextmanager
def training_bar(steps: int) -> Iterator[Callable[[int, str], None]]:
    """Show a bar of optimizer steps on stderr; nothing if stderr is not a terminal.

    Yields:
        A function that takes the steps done and a text to show next to the bar.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("", total=steps)
        yield lambda done, text: progress.update(bar, completed=done, description=text)


def headline(results: Results) -> dict[str, str]:
    """Task to its primary metric, written with its standard error."""
    return {name: str(result.primary or "–") for name, result in results.tasks.items()}
