"""The journal of an unfinished run: the scores of each finished chunk, so that a killed run can resume.

One file, appended to after each chunk and removed when the run is finished. Its first record is the time the run was
started; each further record holds a chunk's key and scores, after its length and digest. A record that was torn when
the run was killed, or damaged otherwise, ends the journal: it is cut off there, and what follows is scored again.

A chunk's key covers its samples and their texts. Its images may have been replaced or repaired in the meantime, so the
record also says which content they had and which could not be read; the scores are reused only if neither has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from clipbench.errors import ConfigError, ResultError
from clipbench.inference.chunks import ChunkScores, Item
from clipbench.types import SampleError
from clipbench.utils.digest import digest
from clipbench.utils.files import lock

_HEAD = struct.Struct("<Q16s")
_LENGTH = struct.Struct("<I")
_KEY_BYTES = 16


class KnownChunk(NamedTuple):
    """What a finished chunk's scores were computed from, as in ``ChunkScores``."""

    content: bytes
    broken: Mapping[str, str]


class Journal:
    """A run's journal, open and locked.

    Args:
        folder: Where it is.
        identity: What the run's scores depend on: only a run of the same identity resumes.
        resume: Continue with its records; otherwise start over.
        on_note: Called once if it cannot be written.

    Attributes:
        started: When the run was first started.
        known: Chunks that were finished when it was opened, by key.
        is_empty: Whether no chunk is finished.

    Raises:
        ConfigError: It cannot be created, or another process is already running this evaluation.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, object], *, resume: bool, on_note: Callable[[str], None]
    ) -> None:
        self._path = folder / f".unfinished_{digest(identity)[:16]}.journal"
        self._lock_path = self._path.with_suffix(".lock")
        self._on_note, self._writable = on_note, True
        self._places: dict[bytes, tuple[int, int]] = {}
        self._changed = self._unidentified = False  # whether these notes were given
        self.known: dict[bytes, KnownChunk] = {}
        self.is_empty = True
        self.started = datetime.now()

        def refuse() -> None:
            raise ConfigError(f"{folder}: another process is already running this evaluation")

        with ExitStack() as stack:
            try:
                stack.enter_context(lock(self._lock_path, on_busy=refuse))
                self._file: BinaryIO = self._path.open("r+b" if self._path.exists() else "w+b")
                stack.callback(self._close_file)
                self._scan(resume)
            except ResultError as error:
                raise ConfigError(str(error)) from None
            except OSError as error:
                with suppress(OSError):
                    if not self._path.stat().st_size:
                        self._remove()
                raise ConfigError(f"{self._path}: cannot be written to: {error.strerror or error}") from None
            self._resources = stack.pop_all()

    def _scan(self, resume: bool) -> None:
        """Find the whole records, and cut off what follows them."""
        end = 0
        while resume and (payload := _next_record(self._file)) is not None:
            if end == 0:
                self.started = datetime.fromisoformat(payload.decode())
            else:
                self._find(payload, end + _HEAD.size)
            end = self._file.tell()
        self._file.truncate(end)
        self._file.seek(end)
        if end == 0:
            self._append(self.started.isoformat().encode())

    def _find(self, payload: bytes, place: int) -> None:
        key, scores = payload[:_KEY_BYTES], _decode(payload[_KEY_BYTES:])
        if scores.content is not None:
            self._places[key] = place, len(payload)
            self.known[key] = KnownChunk(scores.content, scores.broken)
            self.is_empty = False

    def read(self, key: bytes) -> ChunkScores:
        """The scores of a chunk that is done.

        Raises:
            OSError: The file cannot be read.
        """
        offset, length = self._places[key]
        with self._path.open("rb") as file:  # on a full disk, the other handle's buffer holds what it could not write
            file.seek(offset)
            return _decode(file.read(length)[_KEY_BYTES:])

    def write(self, key: bytes, scores: ChunkScores) -> None:
        """Add a chunk, unless its images cannot be identified. A failure is reported once, and the run goes on."""
        if key in self.known and not self._changed:
            self._changed = True
            self._on_note("images have changed since the run was started: their samples are scored again")
        if scores.content is None and not self._unidentified:
            self._unidentified = True
            self._on_note("the content of some images cannot be identified: a resumed run scores their samples again")
        if not self._writable or scores.content is None:
            return
        try:
            self._append(key + _encode(scores))
            self.is_empty = False
        except OSError as error:
            self._writable = False
            reason = error.strerror or error
            self._on_note(f"{self._path}: cannot be written ({reason}): this run cannot be resumed from here")

    def _append(self, payload: bytes) -> None:
        self._file.write(_HEAD.pack(len(payload), _checksum(payload)) + payload)
        self._file.flush()

    def _close_file(self) -> None:
        with suppress(OSError):  # closing tries once more to write what could not be written
            self._file.close()

    def close(self) -> None:
        """Release it; the file stays for the next run."""
        with suppress(OSError):
            self._resources.close()

    def finish(self) -> None:
        """Remove it: the run is done."""
        self._close_file()
        with suppress(OSError):
            self._remove()
        self.close()

    def _remove(self) -> None:
        self._path.unlink()
        self._lock_path.unlink()  # still held, so that no other process can have it


def _checksum(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=16).digest()


def _next_record(file: BinaryIO) -> bytes | None:
    """The next record's content; None where there is none, or it is damaged."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, checksum = _HEAD.unpack(head)
    if length > os.fstat(file.fileno()).st_size - file.tell():
        return None
    payload = file.read(length)
    return payload if _checksum(payload) == checksum else None


def _encode(scores: ChunkScores) -> bytes:
    items: list[dict[str, object]] = []
    arrays: list[bytes] = []
    for item in scores.items:
        if isinstance(item, SampleError):
            items.append({"error": [item.sample_id, item.image, item.reason]})
        else:
            items.append({"shape": item.shape})
            arrays.append(item.astype("<f4").tobytes())
    facts = {"truncated_texts": scores.truncated_texts, "broken": dict(scores.broken), "items": items}
    head = json.dumps({**facts, "content": scores.content.hex() if scores.content else None}).encode()
    return b"".join([_LENGTH.pack(len(head)), head, *arrays])


def _decode(payload: bytes) -> ChunkScores:
    (length,) = _LENGTH.unpack_from(payload)
    head = json.loads(payload[_LENGTH.size : _LENGTH.size + length])
    offset = _LENGTH.size + length
    items: list[Item] = []
    for item in head["items"]:
        if "error" in item:
            items.append(SampleError(*item["error"]))
        else:
            rows, columns = item["shape"]
            values = np.frombuffer(payload, "<f4", rows * columns, offset)
            items.append(values.reshape(rows, columns).astype(np.float32))
            offset += values.nbytes
    content = head.get("content")  # earlier versions wrote none
    return ChunkScores(
        items, head["truncated_texts"], bytes.fromhex(content) if content else None, head.get("broken", {})
    )
