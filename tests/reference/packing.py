"""Packed rows the slow and obvious way: one text after the other is put into a tree of nested dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """What ``clipbench.models.base.PackedRow`` holds, in lists."""

    ids: list[int]
    positions: list[int]
    subtree_ends: list[int]
    texts: list[int]
    ends: list[int]


def pack(texts: Sequence[Sequence[int]], width: int) -> list[Row]:
    """Rows of sorted texts: each text joins the row before, unless that would then have more than ``width`` tokens."""
    parts: list[list[int]] = []
    for text in sorted(range(len(texts)), key=lambda index: list(texts[index])):
        if parts and _size(texts, [*parts[-1], text]) <= width:
            parts[-1].append(text)
        else:
            parts.append([text])
    return sorted((_row(texts, part) for part in parts), key=lambda row: -len(row.ids))


def _size(texts: Sequence[Sequence[int]], some: Sequence[int]) -> int:
    return len({tuple(texts[text][: length + 1]) for text in some for length in range(len(texts[text]))})


def _row(texts: Sequence[Sequence[int]], some: Sequence[int]) -> Row:
    tree: dict[int, dict] = {}
    for text in some:
        node = tree
        for token in texts[text]:
            node = node.setdefault(token, {})
    row = Row([], [], [], list(some), [])
    where: dict[tuple[int, ...], int] = {}
    _walk(tree, (), row, where)
    row.ends.extend(where[tuple(texts[text])] for text in some)
    return row


def _walk(node: dict[int, dict], path: tuple[int, ...], row: Row, where: dict[tuple[int, ...], int]) -> None:
    """Append what is below a node in depth-first order, children as they came."""
    for token, below in node.items():
        index = where[(*path, token)] = len(row.ids)
        row.ids.append(token)
        row.positions.append(len(path))
        row.subtree_ends.append(0)
        _walk(below, (*path, token), row, where)
        row.subtree_ends[index] = len(row.ids)
