"""Shards: the tar files that a location names, local or at URLs, and reading them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from glob import glob, has_magic
from pathlib import Path
from typing import IO

from clipbench.data import remote
from clipbench.errors import DataError
from clipbench.utils.digest import digest
from clipbench.utils.files import atomic_writer, local_path, lock, open_regular
from clipbench.utils.urls import is_url, without_secrets

_BRACES = re.compile(r"\{(?:(?P<first>\d+)\.\.(?P<last>\d+)|(?P<options>[^{}]*,[^{}]*))\}")
_MOST = 1_000_000
_PIECE = 1 << 20  # bytes
_AT_ONCE = 8  # servers asked at the same time


@dataclass(frozen=True, slots=True)
class Shard:
    """A tar file.

    Attributes:
        location: A path, or a URL, which may hold secrets.
        name: What messages and samples call it.
        size: Bytes.
        stamp: Changes when the file does.
        path: The local file: the tar itself, or the copy of one whose server does not send parts of files.
    """

    location: str
    name: str
    size: int
    stamp: str
    path: Path | None

    @contextmanager
    def stream(self) -> Iterator[IO[bytes]]:
        """Open it to be read once from its beginning to its end.

        Raises:
            DataError: It cannot be opened.
        """
        if self.path is None:
            with remote.open_stream(self.location) as stream:
                yield stream
            return
        try:
            file = open_regular(self.path)
        except OSError as error:
            raise DataError(f"cannot read {self.path}: {error.strerror}") from error
        with file:
            yield file

    def read(self, offset: int, size: int) -> bytes:
        """Read a part of it.

        Raises:
            DataError: It cannot be read; a part that is no longer there is shorter.
        """
        if self.path is None:
            return remote.read_range(self.location, offset, size)
        try:
            with open_regular(self.path) as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise DataError(f"cannot read {self.path}: {error.strerror}") from error


def names_tars(location: str) -> bool:
    """Whether a location can only mean tars: a URL, a pattern, or several locations joined by ``::``.

    Examples:
        >>> names_tars("a/{00..41}.tar"), names_tars("a/*.tar"), names_tars("s3://b/c"), names_tars("a/b.csv")
        (True, True, True, False)
    """
    if "::" in location or is_url(location) or location.startswith("pipe:"):
        return True
    return location.endswith(".tar") or ((bool(_BRACES.search(location)) or has_magic(location)) and ".tar" in location)


def find_shards(location: str, copies: Path) -> list[Shard]:
    """Find the tars that a location names.

    Args:
        location: A path or URL of a tar, or of a folder of tars; with ranges and choices in braces as a shell has them
            (``{00000..00041}.tar``), or with ``*``, ``?`` and ``[…]``. Several are joined by ``::``.
        copies: Where tars are copied to whose server does not send parts of files.

    Raises:
        DataError: There are none, one is named twice, or one cannot be read.
    """
    if location.startswith("pipe:"):
        raise DataError("pipe: is a command, which is not run: give the tars' URLs (s3://…, https://…)")
    places = [place for part in location.split("::") for pattern in expand_braces(part) for place in _matching(pattern)]
    if not places:
        raise DataError(f"{without_secrets(location)}: no tar found")
    seen: set[str] = set()
    for place in places:
        if place in seen:
            raise DataError(f"{without_secrets(location)}: names {without_secrets(place)} twice")
        seen.add(place)
    names = _short_names([without_secrets(place).replace("\\", "/") for place in places])
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(partial(_shard, copies=copies), places, names))


def expand_braces(pattern: str) -> list[str]:
    """All that a pattern with ranges and choices in braces stands for, as in a shell.

    Examples:
        >>> expand_braces("{a,b}/{08..10}.tar")
        ['a/08.tar', 'a/09.tar', 'a/10.tar', 'b/08.tar', 'b/09.tar', 'b/10.tar']

    Raises:
        DataError: There are more than a million.
    """
    found = _BRACES.search(pattern)
    if found is None:
        return [pattern]
    if found["options"] is not None:
        options = found["options"].split(",")
    else:
        first, last = int(found["first"]), int(found["last"])
        if abs(last - first) >= _MOST:
            raise DataError(f"{without_secrets(pattern)}: stands for more than {_MOST:,} tars")
        step = 1 if last >= first else -1
        options = [f"{number:0{len(found['first'])}d}" for number in range(first, last + step, step)]
    rests = expand_braces(pattern[found.end() :])
    if len(options) * len(rests) > _MOST:
        raise DataError(f"{without_secrets(pattern)}: stands for more than {_MOST:,} tars")
    return [pattern[: found.start()] + option + rest for option in options for rest in rests]


def tars_of_folder(folder: Path) -> list[Path]:
    """The tars directly in a local folder, in the order of their numbers."""
    return sorted((file for file in folder.glob("*.tar") if file.is_file()), key=lambda file: _by_number(file.name))


def _matching(pattern: str) -> list[str]:
    if is_url(pattern):
        if not pattern.partition("?")[0].endswith(".tar"):
            pattern = f"{pattern.rstrip('/')}/*.tar"
        elif not has_magic(pattern.partition("?")[0]):
            return [pattern]
        return sorted(remote.list_files(pattern), key=_by_number)
    path = local_path(pattern)
    if path.is_dir():
        return [str(file) for file in tars_of_folder(path)]
    if has_magic(str(path)) and not path.exists():
        return sorted(glob(str(path), recursive=True), key=_by_number)  # noqa: PTH207 (absolute patterns)
    return [str(path)]


def _by_number(name: str) -> list[tuple[int, str]]:
    """A key that sorts 2.tar before 10.tar."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _short_names(places: list[str]) -> list[str]:
    """Names without the folder that all share."""
    folders = [place.rpartition("/")[0].split("/") for place in places]
    shared = 0
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        shared += 1
    return ["/".join(place.split("/")[shared:]) for place in places]


def _shard(place: str, name: str, *, copies: Path) -> Shard:
    if is_url(place):
        there = remote.stat(place)
        shard = Shard(place, name, there.size, there.stamp, None)
        return shard if there.has_ranges else _copied(shard, copies)
    path = Path(place)
    try:
        with open_regular(path):
            status = path.stat()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return Shard(str(path.resolve()), name, status.st_size, str(status.st_mtime_ns), path)


def _copied(shard: Shard, copies: Path) -> Shard:
    """A copy of a tar of which the server does not send parts."""
    copies.mkdir(parents=True, exist_ok=True)
    path = copies / f"{digest([without_secrets(shard.location), shard.size, shard.stamp])[:32]}.tar"
    with lock(path.with_suffix(".lock")):
        if not path.is_file() or path.stat().st_size != shard.size:
            if shard.size > (free := shutil.disk_usage(copies).free):
                raise DataError(f"{copies}: no room for {shard.name}: {shard.size:,} bytes, {free:,} are free")
            with remote.open_stream(shard.location) as stream, atomic_writer(path) as write:
                size = 0
                while piece := stream.read(_PIECE):
                    write(piece)
                    size += len(piece)
                if size != shard.size:
                    raise DataError(f"{without_secrets(shard.location)}: {size:,} of {shard.size:,} bytes came")
    return Shard(shard.location, shard.name, shard.size, shard.stamp, path)
