"""The files of a pixel cache: rows in one flat file, what they are in ``index.json``, finished chunks in a journal.

A chunk counts as done once a line of ``chunks.jsonl`` holds its checksum, which is written after its rows. So a process
may die at any moment: what is not in the journal, and what does not agree with it, is done again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clipbench.errors import DataError
from clipbench.utils.text import pluralize

Header = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A finished chunk.

    Attributes:
        sha256: Over its rows and ``broken``.
        broken: Images that cannot be read, by their index in the whole cache, and why. Their rows are zeros.
    """

    sha256: str
    broken: dict[int, str]


class PixelFiles:
    """Rows of one cache and the record of which chunks are done. One process at a time may write.

    Args:
        folder: Where the files are; it exists.
        header: What the cache holds. ``images`` (how many), ``shape``, ``dtype`` and ``chunk_images`` lay the file out.

    Attributes:
        done: The finished chunks by number.
    """

    def __init__(self, folder: Path, header: Header) -> None:
        self.folder = folder
        self.header = header
        self.images: int = header["images"]
        self.shape: tuple[int, ...] = tuple(header["shape"])
        self.dtype = np.dtype(header["dtype"])
        self.row_bytes = int(np.prod(self.shape)) * self.dtype.itemsize
        self.done: dict[int, Chunk] = {}
        self._chunk_images: int = header["chunk_images"]
        self._pixels, self._journal = folder / "pixels.bin", folder / "chunks.jsonl"

    @property
    def chunks(self) -> range:
        """Numbers of all chunks."""
        return range(-(-self.images // self._chunk_images))

    def indices(self, chunk: int) -> range:
        """Indices of a chunk's images in the whole cache."""
        first = chunk * self._chunk_images
        return range(first, min(first + self._chunk_images, self.images))

    @property
    def broken(self) -> dict[int, str]:
        """Images of finished chunks that cannot be read, and why."""
        return {index: why for chunk in sorted(self.done) for index, why in self.done[chunk].broken.items()}

    def recover(self) -> str | None:
        """Take up what an earlier process left; begin anew where that is of no use.

        Returns:
            What was found damaged, in a line; None where nothing was, or nothing was there.
        """
        stored = stored_header(self.folder)
        if stored != self.header:
            damaged = (self.folder / "index.json").exists()
            self._begin()
            return "index.json is damaged: all is rebuilt" if damaged else None
        self._pixels.touch()
        lines = self._journal.read_bytes().split(b"\n") if self._journal.exists() else [b""]
        # The last line is empty, or torn by a kill: that is no damage.
        entries = [self._entry(line) for line in lines]
        self.done = {number: chunk for entry in entries if entry for number, chunk in [entry]}
        unreadable = sum(entry is None for entry in entries[:-1])
        if lines[-1] or unreadable:  # the next line must not go on where a torn one ends
            _write_whole(self._journal, b"".join(_line(number, chunk) for number, chunk in self.done.items()))
        return f"chunks.jsonl has {pluralize(unreadable, 'damaged line')}: rebuilt" if unreadable else None

    def is_sound(self, chunk: int) -> bool:
        """Whether a finished chunk's rows agree with its checksum."""
        return _sha256(self.read(chunk), self.done[chunk].broken) == self.done[chunk].sha256

    def read(self, chunk: int) -> npt.NDArray[Any]:
        """Rows of one chunk, ``(n, *shape)``; fewer where the file was cut off."""
        indices, size = self.indices(chunk), int(np.prod(self.shape))
        values = np.fromfile(self._pixels, self.dtype, len(indices) * size, offset=indices.start * self.row_bytes)
        whole = len(values) // size
        return values[: whole * size].reshape(whole, *self.shape)

    def write(self, chunk: int, rows: npt.NDArray[Any], broken: Mapping[int, str]) -> None:
        """Write one chunk's rows, ``(n, *shape)``, then the journal's line.

        Raises:
            DataError: The disk is full.
        """
        entry = Chunk(_sha256(rows, broken), dict(broken))
        with self._saying_what_is_needed():
            # Written, not mapped: a full disk is an error here, where a store to mapped memory kills the process.
            with self._pixels.open("r+b") as file:
                file.seek(chunk * self._chunk_images * self.row_bytes)
                file.write(np.ascontiguousarray(rows).data)
            with self._journal.open("ab") as journal:
                journal.write(_line(chunk, entry))
        self.done[chunk] = entry

    def rows(self) -> npt.NDArray[Any]:
        """All rows, ``(images, *shape)``, mapped for reading: processes share the memory."""
        return np.memmap(self._pixels, self.dtype, "r", shape=(self.images, *self.shape))

    def check_space(self) -> None:
        """See that the disk holds what is still to be written.

        Raises:
            DataError: It does not.
        """
        present = self._pixels.stat().st_size
        if self.images * self.row_bytes - present > shutil.disk_usage(self.folder).free:
            raise DataError(self._no_space())

    def _begin(self) -> None:
        self.done = {}
        self._journal.unlink(missing_ok=True)
        self._pixels.unlink(missing_ok=True)  # whoever has the old file mapped keeps it
        self._pixels.touch()
        _write_whole(self.folder / "index.json", json.dumps(self.header, indent=1).encode())

    def _entry(self, line: bytes) -> tuple[int, Chunk] | None:
        """A journal line's chunk; None where the line says nothing that can be used."""
        try:
            entry = json.loads(line)
            chunk, sha256 = int(entry["chunk"]), str(entry["sha256"])
            broken = {int(index): str(why) for index, why in entry["broken"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return (chunk, Chunk(sha256, broken)) if chunk in self.chunks else None

    def _no_space(self) -> str:
        needed, free = self.images * self.row_bytes, shutil.disk_usage(self.folder).free
        return (
            f"{self.folder}: the disk is full: decoded images need {needed:,} bytes in all, {free:,} are free;"
            " make room or name another folder"
        )

    @contextmanager
    def _saying_what_is_needed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DataError(self._no_space()) from error
            raise


def stored_header(folder: Path) -> Header | None:
    """What ``index.json`` says; None where there is none, or it cannot be read."""
    try:
        header = json.loads((folder / "index.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return header if isinstance(header, dict) else None


def _sha256(rows: npt.NDArray[Any], broken: Mapping[int, str]) -> str:
    sha = hashlib.sha256(np.ascontiguousarray(rows).data)
    sha.update(json.dumps(sorted(broken.items())).encode())
    return sha.hexdigest()


def _line(number: int, chunk: Chunk) -> bytes:
    entry = {"chunk": number, "sha256": chunk.sha256, "broken": {str(i): why for i, why in chunk.broken.items()}}
    return json.dumps(entry).encode() + b"\n"


def _write_whole(file: Path, content: bytes) -> None:
    beside = file.with_name(file.name + ".part")
    beside.write_bytes(content)
    os.replace(beside, file)
