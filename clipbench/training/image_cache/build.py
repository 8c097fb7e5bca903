"""Filling a pixel cache: threads decode chunk after chunk; what is there is checked, and mended where it must be."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clipbench.errors import DataError, ModelError
from clipbench.models.base import Model
from clipbench.training.image_cache.codes import PixelCodec
from clipbench.training.image_cache.files import PixelFiles
from clipbench.types import ImageRef
from clipbench.utils.text import pluralize


@dataclass
class PixelBuild:
    """One process's work on a cache, under its lock.

    Attributes:
        model: Preprocesses.
        images: ``images[i]`` becomes row i.
        codec: How rows are stored.
        files: Where.
        on_progress: Is told the images done and the images in all.
        on_note: Is told of repairs.
    """

    model: Model
    images: Sequence[ImageRef]
    codec: PixelCodec
    files: PixelFiles
    on_progress: Callable[[int, int], None]
    on_note: Callable[[str], None]

    def run(self, workers: int) -> None:
        """Check what is there, and add what is not, with so many threads.

        Raises:
            OffTable: An image has values that the codec's table lacks.
            DataError: The disk is full.
            ModelError: Images come in different shapes.
        """
        self._done = 0
        with _threads(workers) as pool:
            if damage := self.files.recover():
                self.on_note(f"{self.files.folder}: {damage}")
            self._check(pool)
            self._try_broken_again(pool)
            missing = [chunk for chunk in self.files.chunks if chunk not in self.files.done]
            if missing:
                self.files.check_space()
            for chunk, rows, broken in self._decoded(pool, missing):
                self.files.write(chunk, rows, broken)
                self._advance(chunk)

    def _check(self, pool: Executor) -> None:
        finished = sorted(self.files.done)
        failed = []
        for chunk, sound in zip(finished, pool.map(self.files.is_sound, finished), strict=True):
            if sound:
                self._advance(chunk)
            else:
                failed.append(chunk)
                del self.files.done[chunk]
        if failed:
            images = sum(len(self.files.indices(chunk)) for chunk in failed)
            self.on_note(
                f"{self.files.folder}: {pluralize(len(failed), 'chunk')} of {len(self.files.chunks)}"
                f" failed the checksum: rebuilt ({pluralize(images, 'image')})"
            )

    def _try_broken_again(self, pool: Executor) -> None:
        mended = 0
        for chunk in sorted(self.files.done):
            known = self.files.done[chunk].broken
            indices = list(known)
            rows, futures = self._start(pool, indices)
            broken = _reasons(indices, futures)
            if broken == known:
                continue
            whole = self.files.read(chunk)
            whole[np.array(indices) - self.files.indices(chunk).start] = rows
            self.files.write(chunk, whole, broken)
            mended += len(known) - len(broken)
        if mended:
            self.on_note(f"{self.files.folder}: {pluralize(mended, 'image')} that could not be read can be read now")

    def _decoded(self, pool: Executor, chunks: Sequence[int]) -> Iterator[tuple[int, npt.NDArray[Any], dict[int, str]]]:
        """Yield each chunk's number, rows and broken images, while the next chunk is being decoded."""
        ahead: deque[tuple[int, npt.NDArray[Any], list[Future[str | None]]]] = deque()
        for position in range(len(chunks) + 1):
            if position < len(chunks):
                ahead.append((chunks[position], *self._start(pool, self.files.indices(chunks[position]))))
            if position > 0:
                chunk, rows, futures = ahead.popleft()
                yield chunk, rows, _reasons(self.files.indices(chunk), futures)

    def _start(self, pool: Executor, indices: Sequence[int]) -> tuple[npt.NDArray[Any], list[Future[str | None]]]:
        rows = np.zeros((len(indices), *self.codec.shape), self.codec.dtype)
        futures = [pool.submit(self._fill, self.images[index], row) for index, row in zip(indices, rows, strict=True)]
        return rows, futures

    def _fill(self, ref: ImageRef, row: npt.NDArray[Any]) -> str | None:
        """Decode one image into its row, or return why that cannot be."""
        try:
            pixels = self.model.preprocess(ref.open())
        except DataError as error:
            return str(error)
        except (MemoryError, ModelError):
            raise
        except Exception as error:  # of an image so odd (a line of one pixel) that resizing trips over it
            return f"{ref.key}: the model's preprocessing fails on it ({type(error).__name__}: {error})"
        self.codec.encode(pixels, row)
        return None

    def _advance(self, chunk: int) -> None:
        self._done += len(self.files.indices(chunk))
        self.on_progress(self._done, self.files.images)


def _reasons(indices: Sequence[int], futures: Sequence[Future[str | None]]) -> dict[int, str]:
    reasons = ((index, future.result()) for index, future in zip(indices, futures, strict=True))
    return {index: why for index, why in reasons if why is not None}


@contextmanager
def _threads(workers: int) -> Iterator[Executor]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # after an error nobody wants the rest
