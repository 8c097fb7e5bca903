"""Shards cut into pieces: what one process mines at a time, and what an unfinished mining is resumed by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from clipbench.errors import ConfigError, DataError
from clipbench.mining.tables import DELIMITED, PARQUET, row_groups

Kind = Literal["parquet", "delimited", "tar"]
_ROWS = 250_000  # of parquet in a piece, about


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a shard.

    Attributes:
        number: Its place among all pieces.
        shard: The shard's location.
        kind: What the shard is.
        groups: First row group of parquet, and the one after the last; (0, 0) for other kinds.
    """

    number: int
    shard: str
    kind: Kind
    groups: tuple[int, int] = (0, 0)

    @property
    def stem(self) -> str:
        """The name of its files, without suffix."""
        return f"{self.number:05d}"


def suffix(shard: str) -> str:
    """The suffix of a location's file name: ``.parquet``, in lower case.

    Examples:
        >>> suffix("https://host/part.PARQUET?download=true")
        '.parquet'
    """
    return "." + shard.partition("?")[0].rpartition(".")[2].lower()


def cut(shards: Sequence[str]) -> list[Piece]:
    """Cut shards into pieces, in order.

    Raises:
        ConfigError: A shard is of an unknown kind.
        DataError: A parquet file cannot be read.
    """
    pieces: list[Piece] = []
    for shard in shards:
        for kind, groups in _parts(shard):
            pieces.append(Piece(len(pieces), shard, kind, groups))
    return pieces


def _parts(shard: str) -> Iterator[tuple[Kind, tuple[int, int]]]:
    match suffix(shard):
        case ".tar":
            yield "tar", (0, 0)
        case kind if kind in DELIMITED:
            yield "delimited", (0, 0)
        case kind if kind in PARQUET:
            yield from (("parquet", groups) for groups in _groups(shard))
        case _:
            raise ConfigError(f"captions {shard}: give .parquet, .tsv, .csv or .tar files")


def _groups(shard: str) -> Iterator[tuple[int, int]]:
    sizes = row_groups(shard)
    if not sizes:
        raise DataError(f"{shard}: the table is empty")
    start, rows = 0, 0
    for group, size in enumerate(sizes, 1):
        rows += size
        if rows >= _ROWS or group == len(sizes):
            yield start, group
            start, rows = group, 0
