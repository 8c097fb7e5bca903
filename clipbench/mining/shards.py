"""Where shards of captions lie: files, folders, globs, ranges and URLs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from glob import glob, has_magic
from typing import Final

from clipbench.data import remote
from clipbench.data.shards import expand_braces
from clipbench.errors import DataError
from clipbench.utils.files import local_path
from clipbench.utils.urls import is_url, without_secrets

SUFFIXES: Final = (".parquet", ".tsv", ".csv", ".tar")


def find_shards(locations: Sequence[str]) -> list[str]:
    """The shards at some locations, in order; local ones as absolute paths.

    Args:
        locations: Files, folders or URLs of files; with ranges and choices in braces as a shell has them
            (``{00000..00041}.parquet``), or with ``*``, ``?`` and ``[…]``.

    Raises:
        DataError: There is nothing at a location, or a shard is named twice.
    """
    found: list[str] = []
    for location in locations:
        for pattern in expand_braces(location):
            shards = _matching(pattern)
            if not shards:
                raise DataError(f"{without_secrets(pattern)}: no shard found ({', '.join(SUFFIXES)})")
            found += shards
    if twice := [shard for shard, count in Counter(found).items() if count > 1]:
        raise DataError(f"{without_secrets(twice[0])}: named twice")
    return found


def _matching(pattern: str) -> list[str]:
    if is_url(pattern):
        magic = has_magic(pattern.partition("?")[0])
        return sorted(remote.list_files(pattern)) if magic else [pattern]
    path = local_path(pattern).absolute()
    if path.is_dir():
        return sorted(str(file) for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if path.is_file():
        return [str(path)]
    if has_magic(pattern):
        return sorted(glob(str(path), recursive=True))  # noqa: PTH207 (absolute patterns)
    raise DataError(f"{pattern}: no such file or folder")
