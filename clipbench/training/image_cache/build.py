"""Building the cache of training images, in files that runs and processes share.

    cache = build_image_cache(model, images, source.provenance.fingerprint, folder, workers=4)
    pixels = cache.batch(np.array([3, 1, 2]), model.device)  # (3, 3, H, W), what model.preprocess gives, to the bit

A chunk of images is a file that is named for what it holds: the images' content, in order, and the preprocessing. So
a file is never changed; a killed build continues with the chunks that are missing; exchanged images are other chunks.
Chunks are verified when they are opened, and built again where they are damaged.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from clipbench.errors import DataError, ResultError
from clipbench.models.base import Model
from clipbench.training.image_cache.cache import ImageCache
from clipbench.training.image_cache.chunks import Chunk, DamagedChunk, Rows, read_chunk, write_chunk
from clipbench.training.image_cache.codes import OffTable, PixelCodec, find_codec
from clipbench.training.image_cache.identity import identify
from clipbench.training.image_cache.streamed import opened
from clipbench.types import ImageRef
from clipbench.utils.digest import digest
from clipbench.utils.files import lock
from clipbench.utils.text import pluralize

VERSION = 2
_CHUNK_IMAGES = 256
_CHUNK_BYTES = 2**26  # two chunks are in memory at once


def build_image_cache(
    model: Model,
    images: Sequence[ImageRef],
    dataset_fingerprint: str,
    folder: Path,
    *,
    workers: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> ImageCache:
    """Open the cache of these images for this model's preprocessing; build what is missing of it.

    Images that cannot be read do not stop it: they are listed in ``ImageCache.broken``, and tried again whenever
    the cache is opened. Two runs that start at once build it once.

    Args:
        model: Its ``preprocess`` is what counts; models that preprocess alike share a cache.
        images: Distinct images; ``images[i]`` becomes row i.
        dataset_fingerprint: Changes with the content of images without a file of their own.
        folder: The folder of all caches.
        workers: Threads that decode.
        on_progress: Called with the images done and the images in all.
        on_note: Called with messages for the user: repairs, waiting, a fallback.

    Raises:
        DataError: There are no images, the disk is full, or the folder cannot be written.
        ModelError: Preprocessing gives different shapes for different images.
    """
    if not images:
        raise DataError("there are no images to decode: the training data is empty")
    codec = find_codec(model)

    def busy() -> None:
        on_note(f"{folder}: another run is preparing these images: waiting for it")

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _threads(max(1, workers)) as pool:
            contents = identify(images, dataset_fingerprint, folder, pool)
            build = _Build(model, images, contents, folder, pool, on_progress, on_note)
            with lock(folder / f"{digest([codec.digest, contents])[:32]}.lock", busy):
                return build.run(codec)
    except (OSError, ResultError) as error:
        raise DataError(f"{folder}: the image cache cannot be read or written: {error}") from error


@dataclass
class _Build:
    """One process's work on a cache, under its lock."""

    model: Model
    images: Sequence[ImageRef]
    contents: Sequence[str]
    folder: Path
    pool: Executor
    on_progress: Callable[[int, int], None]
    on_note: Callable[[str], None]

    def run(self, codec: PixelCodec) -> ImageCache:
        size = max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // codec.row_bytes))
        parts = [range(start, min(start + size, len(self.images))) for start in range(0, len(self.images), size)]
        off_table = self._path(codec, range(len(self.images))).with_suffix(".off_table")
        if codec.table is None or off_table.exists():
            self.on_note(f"{self.model.id}: images are stored as float32: they do not have 256 levels per channel")
            codec = codec.without_table()
        try:
            return self._run(codec, parts)
        except OffTable:
            off_table.touch()
            self.on_note(f"{self.model.id}: an image has values off the 256 levels per channel: stored as float32")
            return self._run(codec.without_table(), parts)

    def _run(self, codec: PixelCodec, parts: Sequence[range]) -> ImageCache:
        self._codec, self._done = codec, 0
        chunks = self._existing(parts)
        before = sum(len(chunk.broken) for chunk in chunks.values())
        chunks = {part: self._try_again(part, chunk) if chunk.broken else chunk for part, chunk in chunks.items()}
        if repaired := before - sum(len(chunk.broken) for chunk in chunks.values()):
            self.on_note(f"{self.folder}: {pluralize(repaired, 'image')} unreadable before: now read")
        missing = [part for part in parts if part not in chunks]
        needed = sum(len(part) for part in missing) * codec.row_bytes
        if needed > (free := shutil.disk_usage(self.folder).free):
            raise DataError(
                f"{self.folder}: the disk is too small: decoded images need {needed:,} bytes, {free:,} are free;"
                " make room or name another image_cache"
            )
        for part, rows, broken in self._decoded(missing):
            chunks[part] = self._write(part, rows, broken)
            self._advance(part)
        return ImageCache([chunks[part] for part in parts], codec, self.contents)

    def _path(self, codec: PixelCodec, part: range) -> Path:
        contents = [self.contents[index] for index in part]
        return self.folder / f"{digest([VERSION, codec.digest, codec.dtype.name, contents])[:32]}.pixels"

    def _read(self, part: range) -> Chunk | DamagedChunk | None:
        try:
            return read_chunk(self._path(self._codec, part), len(part), self._codec.shape, self._codec.dtype)
        except DamagedChunk as error:
            return error

    def _existing(self, parts: Sequence[range]) -> dict[range, Chunk]:
        found, damaged = {}, []
        for part, chunk in zip(parts, self.pool.map(self._read, parts), strict=True):
            if isinstance(chunk, Chunk):
                found[part] = chunk
                self._advance(part)
            elif chunk is not None:
                damaged.append(len(part))
        if damaged:
            self.on_note(
                f"{self.folder}: {pluralize(len(damaged), 'chunk')} of {len(parts)} damaged: rebuilt"
                f" ({pluralize(sum(damaged), 'image')})"
            )
        return found

    def _try_again(self, part: range, chunk: Chunk) -> Chunk:
        """Decode a chunk's broken images once more; the others are kept."""
        positions = list(chunk.broken)
        rows, futures = self._start([part[position] for position in positions])
        broken = _reasons(positions, futures)
        if broken == chunk.broken:
            return chunk
        whole = np.array(chunk.rows)
        whole[positions] = rows
        return self._write(part, whole, broken)

    def _decoded(self, parts: Sequence[range]) -> Iterator[tuple[range, Rows, dict[int, str]]]:
        """Yield each part's rows and broken images, while the next part is being decoded."""
        ahead: tuple[range, Rows, list[Future[str | None]]] | None = None
        for part in [*parts, None]:
            started = (part, *self._start(part)) if part is not None else None
            if ahead is not None:
                yield ahead[0], ahead[1], _reasons(range(len(ahead[0])), ahead[2])
            ahead = started

    def _start(self, indices: Sequence[int]) -> tuple[Rows, list[Future[str | None]]]:
        rows = np.zeros((len(indices), *self._codec.shape), self._codec.dtype)
        fill = partial(self._fill, self._codec)
        images = [self.images[index] for index in indices]
        return rows, [self.pool.submit(fill, ref, row) for ref, row in zip(images, rows, strict=True)]

    def _fill(self, codec: PixelCodec, ref: ImageRef, row: Rows) -> str | None:
        """Decode one image into its row, or return why that cannot be."""
        pixels, why = opened(self.model.preprocess, ref)
        if pixels is None:
            return why
        codec.encode(pixels, row)
        return None

    def _write(self, part: range, rows: Rows, broken: Mapping[int, str]) -> Chunk:
        return write_chunk(self._path(self._codec, part), rows, broken)

    def _advance(self, part: range) -> None:
        self._done += len(part)
        self.on_progress(self._done, len(self.images))


def _reasons(positions: Sequence[int], futures: Sequence[Future[str | None]]) -> dict[int, str]:
    reasons = ((position, future.result()) for position, future in zip(positions, futures, strict=True))
    return {position: why for position, why in reasons if why is not None}


@contextmanager
def _threads(workers: int) -> Iterator[Executor]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # after an error the rest is not needed
