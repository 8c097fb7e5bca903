"""Everything that is printed: results on stdout, progress and messages on stderr."""

from __future__ import annotations

import html
import json
import re
import sys
import unicodedata
from collections.abc import Sequence

import click

from clipbench.cli.command import name_flags
from clipbench.cli.streams import write
from clipbench.utils.text import STEERING, printable, shorten

FORMATS = ("table", "json", "markdown")
_MARKDOWN = re.compile(r"[\\|`\[\]]")  # what would end a cell, or make code, a link or an image


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


def _json_escapes(text: str) -> str:
    r"""Escape characters that would control a terminal as JSON does, which loses nothing.

    Examples:
        >>> print(_json_escapes('{"a": "\u202egnp.exe"}'))
        {"a": "\u202egnp.exe"}
    """
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        json.dumps(sign)[1:-1] if sign not in "\n\r\t" and unicodedata.category(sign) in STEERING else sign
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
    cells = [[_cell(cell, style) for cell in row] for row in rows]
    if style == "table" and sys.stdout.isatty():
        _print_rich(headers, cells)
    else:
        from tabulate import tabulate

        layout = "github" if style == "markdown" else "simple"
        # Cells come formatted: tabulate must not parse `0.50` back into 0.5.
        alignment = _alignment(headers, cells)
        write(tabulate(cells, headers, tablefmt=layout, disable_numparse=True, colalign=alignment) + "\n")


def _cell(value: object, style: str) -> str:
    text = printable(str(value)).replace("\n", " ")
    return _MARKDOWN.sub(r"\\\g<0>", html.escape(text, quote=False)) if style == "markdown" else text


def _alignment(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str] | None:
    return ["right" if _numeric(rows, column) else "left" for column in range(len(headers))] if rows else None


def _numeric(rows: Sequence[Sequence[object]], column: int) -> bool:
    cells = [str(row[column]) for row in rows]
    return all(not cell or cell[0] in "0123456789.-+" for cell in cells)


def _print_rich(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console

    from clipbench.cli.tables import terminal_table

    console = Console(emoji=False, highlight=False)
    numeric = [bool(rows) and _numeric(rows, column) for column in range(len(headers))]
    with console.capture() as drawn:
        console.print(terminal_table(headers, rows, numeric, console.width))
    write(drawn.get())
