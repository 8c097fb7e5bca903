"""The persistent embedding cache: looked up before encoding, added to chunk by chunk.

    FOLDER/embeddings/<space>/model.json                      whose embeddings these are
                              images-<random>.safetensors     shards, see clipbench.inference.embedding_cache.shards
                              texts-<random>.safetensors

Any number of processes may read and add at once: each writes its own shards. What was added before a process was
killed is available to the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clipbench.errors import ModelError, ResultError
from clipbench.inference.embedding_cache.feature_key import FeatureKey, feature_key_of
from clipbench.inference.embedding_cache.key_table import KeyTable
from clipbench.inference.embedding_cache.shards import (
    KEY_BYTES,
    SUFFIX,
    Bytes,
    DamagedShard,
    Shard,
    read_shard,
    write_shard,
)
from clipbench.metrics import Floats
from clipbench.utils.files import atomic_write
from clipbench.utils.text import pluralize

if TYPE_CHECKING:
    from clipbench.models.base import Model

MODEL_FILE = "model.json"
_SHARD_PLACES = 1 << 32  # a place is a shard's number times this, plus the row

Note = Callable[[str], None]


class CacheHit(NamedTuple):
    """An embedding from the cache.

    Attributes:
        feature: Unit row, ``(D,)`` float32, to the bit as it was scored with.
        truncated: Whether the text was cut to the model's context.
    """

    feature: Floats
    truncated: bool


def default_folder() -> Path:
    """``$CLIPBENCH_CACHE``, else ``~/.cache/clipbench``."""
    return Path(os.environ.get("CLIPBENCH_CACHE") or "~/.cache/clipbench").expanduser()


def embeddings_folder(folder: Path) -> Path:
    """The embeddings in a cache folder: one folder for each space."""
    return folder / "embeddings"


def image_key(content: bytes) -> bytes:
    """The key of an image, by what identifies its content (``ImageRef.content``)."""
    return hashlib.blake2b(content, digest_size=KEY_BYTES, person=b"image").digest()


def text_key(text: str) -> bytes:
    """The key of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES, person=b"text").digest()


def open_cache(model: Model, folder: str | Path | None, on_note: Note | None = None) -> EmbeddingCache | None:
    """Open the cache of a model's embeddings.

    Args:
        model: The model; its weights must not change while the cache is open.
        folder: The cache folder; None for no cache.
        on_note: Called with one line: damage, no permission, a model that cannot be identified.

    Returns:
        The cache; None without a folder, or where the model cannot be identified.
    """
    if folder is None:
        return None
    note = on_note or _ignore
    try:
        space = feature_key_of(model)
    except ModelError as error:
        note(f"{error}: embeddings are not cached")
        return None
    return EmbeddingCache(Path(folder).expanduser(), space, note)


class EmbeddingCache:
    """Embeddings of one space. Threads may share it.

    Args:
        folder: The cache folder.
        space: Whose embeddings.
        on_note: Called with one line about damage and about what cannot be written.

    Attributes:
        folder: Where its files are.
    """

    def __init__(self, folder: Path, space: FeatureKey, on_note: Note) -> None:
        self.folder = embeddings_folder(folder) / space.key
        self._space = space
        self._note = on_note
        self._lock = threading.Lock()
        self._writable = True
        self._table = KeyTable()
        self._shards: list[Shard] = []
        self._loaded: dict[int, tuple[Floats, Bytes] | None] = {}  # None: it failed its check
        self._read_index()

    def __len__(self) -> int:
        return len(self._table)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, CacheHit]:
        """Look keys up.

        A shard is checked against its checksum before its first embedding is used. One that fails is dropped with
        all it held.

        Args:
            keys: From ``image_key`` and ``text_key``.

        Returns:
            The features found, by key.
        """
        with self._lock:
            places = self._table.find(_array(keys))
            found: dict[bytes, CacheHit] = {}
            for key, place in zip(keys, places.tolist(), strict=True):
                loaded = self._load(place // _SHARD_PLACES) if place >= 0 else None
                if loaded:
                    features, truncated = loaded
                    row = place % _SHARD_PLACES
                    found[key] = CacheHit(np.array(features[row]), bool(truncated[row]))
            return found

    def add(self, kind: str, keys: Sequence[bytes], features: Floats, truncated: Sequence[bool]) -> None:
        """Write embeddings as one shard. A failure is reported once, and nothing more is written.

        Args:
            kind: ``images`` or ``texts``.
            keys: Keys that are not cached yet.
            features: Unit rows, ``(len(keys), D)``.
            truncated: For each text whether it was cut; all false for images.
        """
        if not keys or not self._writable:
            return
        rows = _array(keys)
        with self._lock:
            try:
                self._name_folder()
                shard = write_shard(self.folder, self._space.key, kind, rows, features, np.array(truncated, np.uint8))
            except (OSError, ResultError, DamagedShard) as error:
                self._writable = False
                self._note(f"{self.folder}: embeddings cannot be stored ({error}): the run goes on without")
                return
            self._index(shard, rows)
            # What this process has just written needs no check.
            self._loaded[len(self._shards) - 1] = shard.map_features(), shard.read_truncated()

    def _read_index(self) -> None:
        with suppress(OSError):  # last used: now
            os.utime(self.folder / MODEL_FILE)
        keys, places = [np.empty((0, KEY_BYTES), np.uint8)], [np.empty(0, np.int64)]
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                shard = read_shard(path, self._space.key)
                keys.append(shard.read_keys())
            except DamagedShard as error:
                self._drop(path, str(error))
            except FileNotFoundError:  # another process has removed it
                continue
            else:
                places.append(len(self._shards) * _SHARD_PLACES + np.arange(shard.count, dtype=np.int64))
                self._shards.append(shard)
        self._table.add(np.concatenate(keys), np.concatenate(places))

    def _index(self, shard: Shard, keys: Bytes) -> None:
        self._table.add(keys, len(self._shards) * _SHARD_PLACES + np.arange(shard.count, dtype=np.int64))
        self._shards.append(shard)

    def _load(self, number: int) -> tuple[Floats, Bytes] | None:
        """A shard's embeddings, checked; None where it failed."""
        if number not in self._loaded:
            shard = self._shards[number]
            try:
                shard.check()
                self._loaded[number] = shard.map_features(), shard.read_truncated()
            except (DamagedShard, OSError, ValueError) as error:
                self._table.remove(number * _SHARD_PLACES, (number + 1) * _SHARD_PLACES)
                self._loaded[number] = None
                if shard.path.exists():  # else another process has removed and reported it
                    self._drop(shard.path, f"{error}; {pluralize(shard.count, shard.kind[:-1])} must be encoded again")
        return self._loaded[number]

    def _drop(self, path: Path, reason: str) -> None:
        drop_shard(path)
        self._note(f"{path}: damaged, {reason}: dropped")

    def _name_folder(self) -> None:
        """Write whose embeddings the folder holds, unless it is there."""
        file = self.folder / MODEL_FILE
        if file.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic_write(file, json.dumps(asdict(self._space), indent=1))


def drop_shard(path: Path) -> None:
    """Remove a damaged shard; where that is not permitted it stays and is ignored."""
    with suppress(OSError):
        path.unlink()


def _array(keys: Sequence[bytes]) -> Bytes:
    return np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)


def _ignore(_: str) -> None:
    pass
