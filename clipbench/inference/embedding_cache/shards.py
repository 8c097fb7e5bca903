"""Shards: files of embeddings with their keys and checksums, in the safetensors format, written once and never changed.

A shard says itself what it holds, so that there is no index that could be torn, or disagree with the files: the index
is read from the shards. A shard gets its name when it is whole, so that a killed process leaves none that is half.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipbench.metrics import Floats

KEY_BYTES = 16  # 128 bits: among a billion keys, two that are equal by chance are not to be expected
SUFFIX = ".safetensors"
PART_SUFFIX = ".part"
_FORMAT = "clipbench embeddings 1"
_MOST_HEADER_BYTES = 1 << 20
_TYPES = {"features": ("F32", np.float32), "keys": ("U8", np.uint8), "truncated": ("U8", np.uint8)}

Bytes = NDArray[np.uint8]


class DamagedShard(Exception):
    """A file that is no shard, is not whole, or does not agree with its checksum; says which, in a few words."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard whose header has been read, and looks sound.

    Attributes:
        path: The file.
        kind: ``images`` or ``texts``.
        count: Embeddings in it.
        dim: Values an embedding.
        sha256: What the digest of all its arrays has to be.
        keys_sha256: What the digest of its keys has to be.
        offsets: Where each array begins in the file.
    """

    path: Path
    kind: str
    count: int
    dim: int
    sha256: str
    keys_sha256: str
    offsets: dict[str, int]

    def read_keys(self) -> Bytes:
        """Its keys, ``(count, 16)``.

        Raises:
            DamagedShard: They do not agree with their checksum, or cannot be read.
        """
        keys = self._read("keys")
        if hashlib.sha256(keys.data).hexdigest() != self.keys_sha256:
            raise DamagedShard("its keys fail the checksum")
        return keys

    def check(self) -> None:
        """Read all of it.

        Raises:
            DamagedShard: It does not agree with its checksum, or cannot be read.
        """
        if _sha256(*(self._read(name) for name in _TYPES)) != self.sha256:
            raise DamagedShard("it fails the checksum")

    def map_features(self) -> Floats:
        """Its embeddings, ``(count, dim)``, mapped: what is not looked at takes no memory."""
        return np.memmap(self.path, np.float32, "r", self.offsets["features"], (self.count, self.dim))

    def read_truncated(self) -> Bytes:
        """For each of its texts whether it was cut to the model's context, ``(count,)``."""
        return self._read("truncated")

    def _read(self, name: str) -> NDArray[Any]:
        dtype = np.dtype(_TYPES[name][1])
        shape = _shapes(self.count, self.dim)[name]
        try:
            found: NDArray[Any] = np.fromfile(self.path, dtype, int(np.prod(shape)), offset=self.offsets[name])
            return found.reshape(shape)
        except (OSError, ValueError) as error:
            raise DamagedShard(f"it cannot be read ({error})") from error


def write_shard(folder: Path, space: str, kind: str, keys: Bytes, features: Floats, truncated: Bytes) -> Shard:
    """Write a shard beside the others, then give it its name.

    Args:
        folder: Where; it exists.
        space: Key of the space that the embeddings live in.
        kind: ``images`` or ``texts``.
        keys: ``(n, 16)``.
        features: Unit rows, ``(n, D)``.
        truncated: For each text whether it was cut, ``(n,)``; zeros for images.

    Raises:
        OSError: It cannot be written: no place, no permission.
    """
    from safetensors.numpy import save

    # Contiguous, because safetensors writes the memory as it lies.
    arrays = [np.ascontiguousarray(array) for array in (features, keys, truncated)]
    metadata = {
        "format": _FORMAT,
        "space": space,
        "kind": kind,
        "sha256": _sha256(*arrays),
        "keys_sha256": hashlib.sha256(arrays[1].data).hexdigest(),
    }
    name = f"{kind}-{uuid.uuid4().hex}"
    part = folder / (name + PART_SUFFIX)
    try:
        part.write_bytes(save(dict(zip(_TYPES, arrays, strict=True)), metadata))
        os.replace(part, folder / (name + SUFFIX))
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
    return read_shard(folder / (name + SUFFIX), space)


def read_shard(path: Path, space: str) -> Shard:
    """Read a shard's header.

    Args:
        path: The file.
        space: Key of the space that its embeddings have to live in.

    Raises:
        DamagedShard: It is no shard, or of another space, or its size is not what the header says.
        FileNotFoundError: There is no such file (another process may have removed it).
    """
    try:
        return _read_header(path, space)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedShard(f"it cannot be read ({error.strerror})") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedShard("it is no file of embeddings") from error


def _read_header(path: Path, space: str) -> Shard:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _MOST_HEADER_BYTES:
            raise DamagedShard("it is no file of embeddings")
        header = json.loads(file.read(length))
        size = file.seek(0, os.SEEK_END)
    metadata = header["__metadata__"]
    if metadata["format"] != _FORMAT or metadata["space"] != space:
        raise DamagedShard("it holds embeddings of another model or version")
    count, dim = header["features"]["shape"]
    end = 8 + length
    for name, shape in _shapes(count, dim).items():
        entry, (dtype, numpy_type) = header[name], _TYPES[name]
        start, stop = entry["data_offsets"]
        if entry["dtype"] != dtype or tuple(entry["shape"]) != shape:
            raise DamagedShard("its header contradicts itself")
        if start < 0 or stop - start != int(np.prod(shape)) * np.dtype(numpy_type).itemsize:
            raise DamagedShard("its header contradicts itself")
        end = max(end, 8 + length + stop)
    if size != end:
        raise DamagedShard(f"it has {size:,} bytes where {end:,} belong")
    offsets = {name: 8 + length + header[name]["data_offsets"][0] for name in _TYPES}
    return Shard(path, str(metadata["kind"]), count, dim, metadata["sha256"], metadata["keys_sha256"], offsets)


def _shapes(count: int, dim: int) -> dict[str, tuple[int, ...]]:
    return {"features": (count, dim), "keys": (count, KEY_BYTES), "truncated": (count,)}


def _sha256(*arrays: NDArray[Any]) -> str:
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(array.data)
    return sha.hexdigest()
