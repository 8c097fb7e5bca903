"""Training images, decoded and preprocessed once: a file of bytes that epochs, runs and processes share.

    cache = build_pixels(model, images, source.fingerprint, folder, workers=4)
    pixels = cache.batch(np.array([3, 1, 2]), model.device)  # (3, 3, H, W), what model.preprocess gives, to the bit

Two runs that begin at once build it once. A build that was killed goes on where it was. Everything is checked against
its checksums when it is opened, and what fails is decoded again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock, Timeout

from clipbench.errors import DataError
from clipbench.models.base import Model
from clipbench.training.image_cache.build import PixelBuild
from clipbench.training.image_cache.codes import OffTable, PixelCodec, decode, find_codec
from clipbench.training.image_cache.files import Header, PixelFiles, stored_header
from clipbench.types import ImageRef

VERSION = 1
_CHUNK_IMAGES = 256  # what a killed build loses at most, twice
_CHUNK_BYTES = 2**26  # two chunks are in memory at once

Progress = Callable[[int, int], None]
Note = Callable[[str], None]


class PixelCache:
    """Preprocessed images, opened for reading. :func:`build_pixels` makes it.

    Attributes:
        folder: Where its files are.
        shape: Shape of one image as the model takes it, ``(3, H, W)``.
        broken: Images that cannot be read, by index, and why. The next build tries them again.
        lookup: The value of each code in each channel, ``(3, 256)`` float32; None where floats are stored.
    """

    def __init__(self, files: PixelFiles, lookup: torch.Tensor | None) -> None:
        self.folder = files.folder
        self.shape = files.shape
        self.broken: Mapping[int, str] = files.broken
        self.lookup = lookup
        self._rows = files.rows()
        self._lookups: dict[torch.device, torch.Tensor | None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: npt.NDArray[np.integer[Any]], device: torch.device | str = "cpu") -> torch.Tensor:
        """Preprocessed images, bit for bit what ``model.preprocess`` gives.

        A quarter of the bytes travels to the device, from pinned memory, and becomes floats there.

        Args:
            indices: Which images, ``(B,)``.
            device: Where they are wanted.

        Returns:
            ``(B, *shape)`` float32 on the device.

        Raises:
            DataError: One of them cannot be read.
        """
        device = torch.device(device)
        if device not in self._lookups:
            self._lookups[device] = None if self.lookup is None else self.lookup.to(device)
        codes = self.codes(indices, pinned=device.type == "cuda").to(device, non_blocking=True)
        return decode(codes, self._lookups[device])

    def codes(self, indices: npt.NDArray[np.integer[Any]], *, pinned: bool = False) -> torch.Tensor:
        """Images as stored: ``(B, *shape)`` uint8, or float32 where there is no :attr:`lookup`, on the CPU.

        Args:
            indices: Which images, ``(B,)``.
            pinned: Put them into page-locked memory, for a copy that does not wait.

        Raises:
            DataError: One of them cannot be read.
        """
        dtype = torch.uint8 if self._rows.dtype == np.uint8 else torch.float32
        batch = torch.empty((len(indices), *self.shape), dtype=dtype, pin_memory=pinned)
        for index, row in zip(indices.tolist(), batch.numpy(), strict=True):
            if not 0 <= index < len(self):
                raise IndexError(f"image {index} of {len(self)}")
            if index in self.broken:
                raise DataError(f"image {index} cannot be trained on: {self.broken[index]}")
            row[...] = self._rows[index]
        return batch


def build_pixels(
    model: Model,
    images: Sequence[ImageRef],
    dataset_fingerprint: str,
    folder: Path,
    *,
    workers: int,
    on_progress: Progress | None = None,
    on_note: Note | None = None,
) -> PixelCache:
    """Open the cache of these images for this model's preprocessing; build what is missing of it.

    Images that cannot be read do not stop it: they are listed in :attr:`PixelCache.broken`, and tried again whenever
    the cache is opened, so that mending the files is enough. Other images are not looked at again: that their content
    is what it was is the dataset fingerprint's to say.

    Args:
        model: Its ``preprocess`` is what counts; models that preprocess alike share a cache.
        images: Distinct images; ``images[i]`` becomes row i.
        dataset_fingerprint: Changes when the content of an image may have changed.
        folder: Caches are kept below it, a folder each.
        workers: Threads that decode.
        on_progress: Is told the images done and the images in all.
        on_note: Is told in a line what the user may want to know: repairs, waiting, a fallback.

    Raises:
        DataError: There are no images, the disk is full, or the folder cannot be written.
        ModelError: Preprocessing gives different shapes for different images.
    """
    if not images:
        raise DataError("there are no images to decode: the training data is empty")
    note = on_note or _ignore
    codec = find_codec(model)
    sources = {"version": VERSION, "preprocessing": codec.digest, "dataset": dataset_fingerprint, **_names(images)}
    home = folder / hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()[:32]

    def built(codec: PixelCodec) -> PixelCache:
        files = PixelFiles(home, _header(codec, sources))
        PixelBuild(model, images, codec, files, on_progress or _ignore, note).run(max(1, workers))
        return PixelCache(files, codec.table)

    try:
        home.mkdir(parents=True, exist_ok=True)
        with _locked(home, note):
            floats = codec.without_table()
            if codec.table is None or stored_header(home) == _header(floats, sources):
                note(f"{model.id}: pixels are stored as float32, 4 bytes a value: they are not of 256 levels a channel")
                return built(floats)
            try:
                return built(codec)
            except OffTable:
                note(f"{model.id}: an image has values off the 256 levels a channel: pixels are stored as float32")
                (home / "index.json").unlink()  # so that it does not pass for a damaged one
                return built(floats)
    except OSError as error:
        raise DataError(f"{home}: the image cache cannot be read or written: {error}") from error


def _names(images: Sequence[ImageRef]) -> dict[str, object]:
    keys = hashlib.sha256(json.dumps([ref.key for ref in images]).encode())
    return {"images": len(images), "keys": keys.hexdigest()}


def _header(codec: PixelCodec, sources: Mapping[str, object]) -> Header:
    chunk_images = max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // codec.row_bytes))
    return {**sources, "shape": list(codec.shape), "dtype": codec.dtype.name, "chunk_images": chunk_images}


@contextmanager
def _locked(home: Path, note: Note) -> Iterator[None]:
    """Only one process builds or repairs; the others wait, and find it done. A killed one's lock is free again."""
    lock = FileLock(home.with_name(home.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        note(f"{home}: another run is preparing these images: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _ignore(*_: object) -> None:
    pass
