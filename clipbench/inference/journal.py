"""The journal of an unfinished run: what came out of each chunk, so that a killed run goes on where it was.

One file, added to after each chunk and gone when the run is finished. It begins with when the run was started; each
further record holds a chunk's key and scores, behind its length and digest. A record that was torn when the run was
killed, or that is damaged otherwise, ends the journal: it is cut off, and what follows is scored again.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np

from clipbench.errors import ConfigError
from clipbench.inference.chunks import ChunkScores
from clipbench.metrics import Floats
from clipbench.types import SampleError

_HEAD = struct.Struct("<Q16s")
_LENGTH = struct.Struct("<I")
_KEY_BYTES = 16


class Journal:
    """A run's journal, open and locked.

    Args:
        folder: Where it lies.
        identity: What the run's scores depend on: a journal goes on with the very same run only.
        resume: Go on with what is there; else begin anew.
        on_note: Told, once, where it cannot be written.

    Attributes:
        started: When the run was started first.
        known: Keys of the chunks that are done.

    Raises:
        ConfigError: It cannot be made, or another process is at the very same run.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, object], *, resume: bool, on_note: Callable[[str], None]
    ) -> None:
        from filelock import FileLock, Timeout

        text = json.dumps(identity, sort_keys=True, default=str)
        self._path = folder / f".unfinished_{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}.journal"
        self._on_note, self._writable = on_note, True
        self._lock = FileLock(f"{self._path}.lock")
        self._places: dict[bytes, tuple[int, int]] = {}
        self.started = datetime.now()
        try:
            self._lock.acquire(timeout=0)
            self._file: BinaryIO = self._path.open("r+b" if self._path.exists() else "w+b")
            self._scan(resume)
        except Timeout:
            raise ConfigError(f"{folder}: the very same run is being done by another process") from None
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be written to: {error.strerror or error}") from None

    @property
    def known(self) -> frozenset[bytes]:
        """Keys of the chunks that are done."""
        return frozenset(self._places)

    def _scan(self, resume: bool) -> None:
        """Find the records that are whole, and cut off what follows them."""
        end = 0
        while resume and (payload := _next_record(self._file)) is not None:
            if end == 0:
                self.started = datetime.fromisoformat(payload.decode())
            else:
                self._places[payload[:_KEY_BYTES]] = end + _HEAD.size, len(payload)
            end = self._file.tell()
        self._file.truncate(end)
        self._file.seek(end)
        if end == 0:
            self._append(self.started.isoformat().encode())

    def read(self, key: bytes) -> ChunkScores:
        """What came out of a chunk that is done.

        Raises:
            OSError: The file cannot be read.
        """
        offset, length = self._places[key]
        self._file.seek(offset)
        payload = self._file.read(length)
        self._file.seek(0, os.SEEK_END)
        return _decode(payload[_KEY_BYTES:])

    def write(self, key: bytes, scores: ChunkScores) -> None:
        """Add a chunk. Where that fails it is said once, and the run goes on."""
        if not self._writable:
            return
        try:
            self._append(key + _encode(scores))
        except OSError as error:
            self._writable = False
            reason = error.strerror or error
            self._on_note(f"{self._path}: cannot be written ({reason}): this run cannot be resumed from here on")

    def _append(self, payload: bytes) -> None:
        self._file.write(_HEAD.pack(len(payload), _digest(payload)) + payload)
        self._file.flush()

    def close(self) -> None:
        """Let it go; the file stays for the next time."""
        with suppress(OSError):  # what could not be written is tried once more
            self._file.close()
        self._lock.release()

    def finish(self) -> None:
        """Remove it: the run is done."""
        with suppress(OSError):
            self._path.unlink()
            Path(self._lock.lock_file).unlink()
        self.close()


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=16).digest()


def _next_record(file: BinaryIO) -> bytes | None:
    """The next record's content; None where there is none, or none that is whole."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, digest = _HEAD.unpack(head)
    if length > os.fstat(file.fileno()).st_size - file.tell():
        return None
    payload = file.read(length)
    return payload if _digest(payload) == digest else None


def _encode(scores: ChunkScores) -> bytes:
    items: list[object] = []
    arrays: list[bytes] = []
    for item in scores.items:
        if isinstance(item, SampleError):
            items.append([item.sample_id, item.image, item.reason])
        else:
            items.append(item.shape)
            arrays.append(item.astype("<f4").tobytes())
    head = json.dumps({"truncated_texts": scores.truncated_texts, "items": items}).encode()
    return b"".join([_LENGTH.pack(len(head)), head, *arrays])


def _decode(payload: bytes) -> ChunkScores:
    (length,) = _LENGTH.unpack_from(payload)
    head = json.loads(payload[_LENGTH.size : _LENGTH.size + length])
    offset = _LENGTH.size + length
    items: list[Floats | SampleError] = []
    for item in head["items"]:
        if len(item) == 3:
            items.append(SampleError(*item))
        else:
            rows, columns = item
            values = np.frombuffer(payload, "<f4", rows * columns, offset)
            items.append(values.reshape(rows, columns).astype(np.float32))
            offset += values.nbytes
    return ChunkScores(items, head["truncated_texts"])
