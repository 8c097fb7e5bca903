"""Shards: files of embeddings with their keys and checksums, in the safetensors format, written once and never changed.

A shard describes its own content, so there is no index that could be torn or disagree with the files: the index is
read from the shards. A shard is written atomically, so that a killed process leaves none that is incomplete.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from clipbench.metrics import Floats
from clipbench.utils.files import atomic_write, open_regular, require_regular

KEY_BYTES = 16  # 128 bits: among a billion keys, two that are equal by chance are not to be expected
SUFFIX = ".safetensors"
PART_SUFFIX = ".part"
_FORMAT = "clipbench embeddings 1"
_ARRAYS = {"features": "F32", "keys": "U8", "truncated": "U8"}

Bytes = NDArray[np.uint8]


class DamagedShard(Exception):
    """A file that is no shard, is incomplete, or fails its checksum; the message says which, in a few words."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard whose header has been read and is consistent.

    Attributes:
        path: The file.
        kind: ``images`` or ``texts``.
        count: Number of embeddings.
        dim: Values per embedding.
        sha256: The digest that all its arrays must have.
        keys_sha256: The digest that its keys must have.
    """

    path: Path
    kind: str
    count: int
    dim: int
    sha256: str
    keys_sha256: str

    def read_keys(self) -> Bytes:
        """Its keys, ``(count, 16)``.

        Raises:
            DamagedShard: They fail their checksum, or cannot be read.
        """
        keys = self._read("keys")
        if _sha256(keys) != self.keys_sha256:
            raise DamagedShard("its keys fail the checksum")
        return keys

    def check(self) -> None:
        """Read all of it.

        Raises:
            DamagedShard: It fails its checksum, or cannot be read.
        """
        if _sha256(self.map_features(), self._read("keys"), self._read("truncated")) != self.sha256:
            raise DamagedShard("it fails the checksum")

    def map_features(self) -> Floats:
        """Its embeddings, ``(count, dim)``, mapped: what is not used takes no memory.

        Raises:
            DamagedShard: They cannot be read.
        """
        try:
            with open_regular(self.path) as file:
                header_bytes = int.from_bytes(file.read(8), "little")
            # The widest type comes first in the format, right after the header. A row read through the library takes
            # five times as long as one of a map.
            return np.memmap(self.path, np.float32, "r", 8 + header_bytes, (self.count, self.dim))
        except (OSError, ValueError) as error:
            raise DamagedShard(f"it cannot be read ({error})") from error

    def read_truncated(self) -> Bytes:
        """Whether each of its texts was cut to the model's context, ``(count,)``."""
        return self._read("truncated")

    def _read(self, name: str) -> Bytes:
        try:
            require_regular(self.path)
            with safe_open(self.path, "numpy") as file:
                array: Bytes = file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise DamagedShard(f"it cannot be read ({error})") from error
        return array


def write_shard(folder: Path, space: str, kind: str, keys: Bytes, features: Floats, truncated: Bytes) -> Shard:
    """Write a shard.

    Args:
        folder: Where; it exists.
        space: Key of the embeddings' space.
        kind: ``images`` or ``texts``.
        keys: ``(n, 16)``.
        features: Unit rows, ``(n, D)``.
        truncated: Whether each text was cut, ``(n,)``; zeros for images.

    Raises:
        ResultError: It cannot be written: no space, no permission.
    """
    # Contiguous, because safetensors writes the memory as it is.
    arrays = [np.ascontiguousarray(array) for array in (features, keys, truncated)]
    metadata = {
        "format": _FORMAT,
        "space": space,
        "kind": kind,
        "sha256": _sha256(*arrays),
        "keys_sha256": _sha256(arrays[1]),
    }
    path = folder / f"{kind}-{uuid.uuid4().hex}{SUFFIX}"
    atomic_write(path, save(dict(zip(_ARRAYS, arrays, strict=True)), metadata))
    return read_shard(path, space)


def read_shard(path: Path, space: str) -> Shard:
    """Read a shard's header.

    Args:
        path: The file.
        space: Key of the space that its embeddings must belong to.

    Raises:
        DamagedShard: It is no shard, belongs to another space, or has another size than its header says.
        FileNotFoundError: There is no such file (another process may have removed it).
    """
    try:
        require_regular(path)
        with safe_open(path, "numpy") as file:
            metadata = file.metadata()
            if metadata["format"] != _FORMAT or metadata["space"] != space:
                raise DamagedShard("it holds embeddings of another model or version")
            slices = {name: file.get_slice(name) for name in _ARRAYS}
            count, dim = slices["features"].get_shape()
            shapes = {"features": [count, dim], "keys": [count, KEY_BYTES], "truncated": [count]}
            if any(slices[name].get_shape() != shape for name, shape in shapes.items()) or any(
                slices[name].get_dtype() != dtype for name, dtype in _ARRAYS.items()
            ):
                raise DamagedShard("its header contradicts itself")
            return Shard(path, metadata["kind"], count, dim, metadata["sha256"], metadata["keys_sha256"])
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedShard(f"it cannot be read ({error.strerror or error})") from error
    except (SafetensorError, ValueError, LookupError, TypeError) as error:
        raise DamagedShard("it is incomplete, or no file of embeddings") from error


def _sha256(*arrays: NDArray[Any]) -> str:
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(array.data)
    return sha.hexdigest()
