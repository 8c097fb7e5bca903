"""Training images that are too many to keep decoded: decoded and preprocessed whenever a batch takes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from clipbench.errors import DataError, ModelError, ResultError
from clipbench.models.base import Model
from clipbench.training.image_cache.codes import find_codec, resized_bytes
from clipbench.training.image_cache.identity import identify
from clipbench.types import ImageRef
from clipbench.utils.digest import digest
from clipbench.utils.files import atomic_write, lock, read_regular

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")

_AT_ONCE = 1024  # images that are being checked


class StreamedImages:
    """Images as ``ImageCache`` gives them, to the bit, without a cache.

    Args:
        model: Its ``preprocess`` is what counts.
        images: Distinct images; ``images[i]`` becomes row i.
        contents: What identifies each image.
        broken: Images that are known to be unreadable, by index, and why.
        workers: Threads that decode.

    Attributes:
        contents: What identifies each image.
        broken: Images that are known to be unreadable, by index, and why.
    """

    def __init__(
        self,
        model: Model,
        images: Sequence[ImageRef],
        contents: Sequence[str],
        broken: Mapping[int, str],
        workers: int,
    ) -> None:
        self._model, self._images, self.contents, self.broken = model, images, contents, broken
        codec = find_codec(model)
        self._shape = codec.shape
        # Scaling bytes to floats costs as much as decoding a small JPEG; looking them up does not.
        self._table = codec.table.numpy() if codec.table is not None and resized_bytes(model, codec) else None
        self._pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="decode")

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, indices: npt.NDArray[np.integer[Any]], device: torch.device | str = "cpu") -> torch.Tensor:
        """Decode images, each of them once.

        Args:
            indices: Which images, ``(B,)``.
            device: Where they are wanted.

        Returns:
            ``(B, *shape)`` float32 on the device.

        Raises:
            DataError: One of them cannot be read.
        """
        device = torch.device(device)
        batch = torch.empty((len(indices), *self._shape), pin_memory=device.type == "cuda")
        first: dict[int, int] = {}
        futures: list[Future[None]] = []
        for place, index in enumerate(indices.tolist()):
            if index not in first:
                first[index] = place
                futures.append(self._pool.submit(self._decode, index, batch[place]))
        for future in futures:
            future.result()
        for place, index in enumerate(indices.tolist()):
            if first[index] != place:
                batch[place] = batch[first[index]]
        return batch.to(device, non_blocking=True)

    def _decode(self, index: int, row: torch.Tensor) -> None:
        read = self._model.preprocess if self._table is None else self._model.resized
        pixels, why = opened(read, self._images[index])
        if pixels is None:
            raise DataError(f"{why}; set allow_missing to check all images before training, and to train on the others")
        if tuple(pixels.shape) != self._shape:
            raise ModelError(
                f"preprocessing gives {tuple(pixels.shape)} for one image and {self._shape} for another:"
                " they cannot share a batch; use a processor with a fixed size"
            )
        if self._table is None or isinstance(pixels, torch.Tensor):
            row.copy_(torch.as_tensor(pixels))
            return
        for levels, codes, values in zip(self._table, pixels, row.numpy(), strict=True):
            np.take(levels, codes, out=values, mode="clip")  # "raise" would copy


def stream_images(
    model: Model,
    images: Sequence[ImageRef],
    dataset_fingerprint: str,
    folder: Path,
    *,
    workers: int,
    check: bool,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> StreamedImages:
    """Make images ready to be decoded on the way.

    Args:
        model: Its ``preprocess`` is what counts.
        images: Distinct images.
        dataset_fingerprint: Changes with the content of images without a file of their own.
        folder: Where contents and broken images are remembered, so that images are read and checked once.
        workers: Threads that decode.
        check: Decode all images once, to know the broken ones; otherwise, the first batch with one fails.
        on_progress: Called with the images checked and the images in all.

    Raises:
        DataError: There are no images, or the folder cannot be written.
    """
    if not images:
        raise DataError("there are no images to decode: the training data is empty")
    broken: dict[int, str] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(max(1, workers), thread_name_prefix="decode") as pool:
            contents = identify(images, dataset_fingerprint, folder, pool)
            if check:
                kept = folder / f"{digest([find_codec(model).digest, contents])[:32]}.broken.json"
                with lock(kept.with_suffix(".lock")):
                    before = _read(kept)
                    again = range(len(images)) if before is None else before
                    broken = dict(_broken(model, images, again, pool, on_progress))
                    if broken != before:
                        atomic_write(kept, json.dumps(broken))
    except (OSError, ResultError) as error:
        raise DataError(f"{folder}: what is known of images cannot be read or written: {error}") from error
    return StreamedImages(model, images, contents, broken, workers)


def opened(read: Callable[[Image.Image], T], ref: ImageRef) -> tuple[T | None, str]:
    """An image as a model takes it; None, and why it cannot be had.

    Args:
        read: The model's ``preprocess``, or ``resized``.
        ref: The image.

    Raises:
        ModelError, MemoryError: Not the image's fault.
    """
    try:
        return read(ref.open()), ""
    except DataError as error:
        return None, str(error)
    except (MemoryError, ModelError):
        raise
    except Exception as error:  # for example, resizing fails on an image one pixel high
        return None, f"{ref.key}: the model's preprocessing fails ({type(error).__name__}: {error})"


def _broken(
    model: Model,
    images: Sequence[ImageRef],
    indices: Sequence[int] | Mapping[int, str],
    pool: Executor,
    on_progress: Callable[[int, int], None],
) -> Iterator[tuple[int, str]]:
    wanted = list(indices)
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        for index, why in zip(
            part, pool.map(lambda index: opened(model.preprocess, images[index])[1], part), strict=True
        ):
            if why:
                yield index, why
        on_progress(start + len(part), len(wanted))


def _read(path: Path) -> dict[int, str] | None:
    with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {int(index): str(why) for index, why in json.loads(read_regular(path)).items()}
    return None
