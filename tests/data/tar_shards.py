"""Tars of captioned pictures."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def picture(number: int, kind: str = "PNG") -> bytes:
    """The bytes of a picture of noise, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (40 + number % 7, 36, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return buffer.getvalue()


def tar_bytes(files: Sequence[tuple[str, bytes]] | Mapping[str, bytes]) -> bytes:
    """A tar of these files, in order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def captioned(captions: Sequence[str], first: int = 0) -> bytes:
    """A tar of pictures with one caption each."""
    files = {}
    for number, caption in enumerate(captions, first):
        files[f"{number:09d}.png"] = picture(number)
        files[f"{number:09d}.txt"] = caption.encode()
    return tar_bytes(files)


def write_tar(path: Path, files: Sequence[tuple[str, bytes]] | Mapping[str, bytes]) -> Path:
    """Write such a tar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar_bytes(files))
    return path
