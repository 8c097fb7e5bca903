"""A chunk of an image cache: the rows of some images in one file, which appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clipbench.utils.files import atomic_writer, require_regular

Rows = npt.NDArray[Any]


class DamagedChunk(Exception):
    """A chunk's file is not what was written: to be built again."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Preprocessed images that were read from a file.

    Attributes:
        rows: ``(n, *shape)``, mapped into memory, which processes share. Rows of broken images are zeros.
        broken: Images that cannot be read, by position in the chunk, and why.
    """

    rows: Rows
    broken: Mapping[int, str]


def write_chunk(path: Path, rows: Rows, broken: Mapping[int, str]) -> Chunk:
    """Write rows, then their checksum and the broken images as JSON.

    Raises:
        ResultError: The file cannot be written.
    """
    with atomic_writer(path) as write:
        write(rows.tobytes())
        write(json.dumps({"sha256": _sha256(rows, broken), "broken": broken}))
    return Chunk(np.memmap(path, rows.dtype, "r", shape=rows.shape), broken)


def read_chunk(path: Path, count: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Chunk | None:
    """Read and verify a chunk of ``count`` images; None if there is no such file.

    Raises:
        DamagedChunk: It does not agree with its checksum.
    """
    try:
        require_regular(path)
        rows = np.memmap(path, dtype, "r", shape=(count, *shape))
        with path.open("rb") as file:
            file.seek(rows.nbytes)
            footer = json.loads(file.read())
        broken = {int(position): str(why) for position, why in footer["broken"].items()}
        sound = footer["sha256"] == _sha256(rows, broken)
    except FileNotFoundError:
        return None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ):  # a FIFO, cut off, other JSON
        raise DamagedChunk from None
    if not sound:
        raise DamagedChunk
    return Chunk(rows, broken)


def _sha256(rows: Rows, broken: Mapping[int, str]) -> str:
    sha = hashlib.sha256(np.ascontiguousarray(rows).data)
    sha.update(json.dumps(sorted(broken.items())).encode())
    return sha.hexdigest()
