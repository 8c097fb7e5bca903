"""Tables that fit a terminal: names are whole, whatever its width."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

Row = Sequence[str]

_GAP = 2  # between two columns
_INDENT = 2
_BREAKS = re.compile(r"(?<=[-_/:@])(?=\w)")  # where a long header may go on in the next line


def terminal_table(headers: Row, rows: Sequence[Row], numeric: Sequence[bool], width: int) -> RenderableType:
    """A table at most as wide as a terminal, and never with a part of a name.

    If it is too wide, texts of several words are wrapped; if it still is, headers too, at hyphens and underscores; if
    it still is, the first column's cells get lines of their own, and so do columns that do not fit in one.

    Args:
        headers: Column titles.
        rows: One sequence of cells per row; an empty first cell continues the row above.
        numeric: For each column, whether it is aligned to the right.
        width: Characters in a line.
    """
    broken = [_BREAKS.sub("\n", header) for header in headers]
    for titles in (headers, broken):
        if (widths := _widths([titles, *rows], width)) is not None:
            return _table(titles, rows, numeric, widths)
    if len(headers) == 1:
        return _table(headers, rows, numeric, [width])
    return _stacked([broken, *rows], numeric, width)


def _widths(lines: Sequence[Row], width: int) -> list[int] | None:
    """Each column's width, so that no word is broken; None if there is not enough room."""
    columns = list(zip(*lines, strict=True))
    wanted = [max(cell_len(cell.replace("\n", "")) for cell in column) for column in columns]
    widths = [max(cell_len(word) for cell in column for word in _words(cell)) for column in columns]
    room = width - sum(widths) - _GAP * (len(widths) - 1)
    if room < 0:
        return None
    while room and widths != wanted:  # to the column that lacks most
        place = max(range(len(widths)), key=lambda column: wanted[column] - widths[column])
        widths[place], room = widths[place] + 1, room - 1
    return widths


def _words(cell: str) -> list[str]:
    """What must not be broken: words, and numbers such as ``± 0.01`` as a whole."""
    return cell.split() if any(map(str.isalpha, cell)) else [cell]


def _blocks(lines: Sequence[Row], width: int) -> list[list[int]]:
    """The columns but the first, divided among as few tables as possible."""
    blocks: list[list[int]] = []
    for column in range(1, len(lines[0])):
        if blocks and _widths([_pick(line, [*blocks[-1], column]) for line in lines], width) is not None:
            blocks[-1].append(column)
        else:
            blocks.append([column])
    return blocks


def _stacked(lines: Sequence[Row], numeric: Sequence[bool], width: int) -> Group:
    """A table in which the first column's cells stand above their rows, in as many tables as have room side by side."""
    blocks = [_Block(lines, numeric, columns, width) for columns in _blocks(lines, width - _INDENT)]
    parts: list[RenderableType] = [Text(lines[0][0].replace("\n", ""), style="bold"), *(one.head() for one in blocks)]
    names = _filled([line[0] for line in lines[1:]])
    for (_, name), some in groupby(range(len(names)), key=names.__getitem__):
        rows = list(some)
        parts += [Text(name, overflow="fold"), *(one.rows(rows) for one in blocks)]
    return Group(*parts)


class _Block:
    """Some columns of a stacked table."""

    def __init__(self, lines: Sequence[Row], numeric: Sequence[bool], columns: Sequence[int], width: int) -> None:
        self._head, *self._rows = [_pick(line, columns) for line in lines]
        self._widths = _widths([self._head, *self._rows], width - _INDENT) or [width - _INDENT]
        self._numeric = [numeric[column] for column in columns]

    def head(self) -> Padding:
        return _indented(_table(self._head, [], self._numeric, self._widths))

    def rows(self, places: Iterable[int]) -> Padding:
        return _indented(_table(None, [self._rows[place] for place in places], self._numeric, self._widths))


def _indented(table: Table) -> Padding:
    return Padding(table, (0, 0, 0, _INDENT), expand=False)


def _filled(cells: Sequence[str]) -> list[tuple[int, str]]:
    """For each row, the row that its name comes from, and the name."""
    found: list[tuple[int, str]] = []
    for place, cell in enumerate(cells):
        found.append((place, cell) if cell or not found else found[-1])
    return found


def _table(headers: Row | None, rows: Sequence[Row], numeric: Sequence[bool], widths: Sequence[int]) -> Table:
    table = Table(
        box=SIMPLE_HEAD if headers else None, show_header=headers is not None, show_edge=False, pad_edge=False,
        padding=(0, _GAP - 1, 0, 0) if headers else (0, _GAP, 0, 0),
    )  # fmt: skip
    for title, right, width in zip(headers or [""] * len(widths), numeric, widths, strict=True):
        table.add_column(
            Text(_refilled(title, width)), justify="right" if right else "left", width=width, overflow="fold"
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _refilled(title: str, width: int) -> str:
    """A broken title in as few lines as its column has room for."""
    lines = [""]
    for part in title.split("\n"):
        if lines[-1] and cell_len(lines[-1] + part) > width:
            lines.append(part)
        else:
            lines[-1] += part
    return "\n".join(lines)


def _pick(line: Row, columns: Sequence[int]) -> list[str]:
    return [line[column] for column in columns]
