"""Where shards lie: files, folders, globs, ranges and URLs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clipbench.errors import DataError


def find_shards(locations: Sequence[str]) -> list[str]:
    """The shards at some locations, in order.

    Raises:
        DataError: There is nothing at a location.
    """
    found: list[str] = []
    for location in locations:
        path = Path(location)
        if path.is_dir():
            found += sorted(str(f) for f in path.iterdir() if f.suffix in (".parquet", ".tsv", ".csv", ".tar"))
        elif "*" in location:
            found += sorted(str(f) for f in path.parent.glob(path.name))
        elif path.is_file():
            found.append(location)
        else:
            raise DataError(f"{location}: no such file")
    return found
