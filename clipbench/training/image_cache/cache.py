"""Training images, decoded and preprocessed once, as epochs, runs and processes read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from clipbench.errors import DataError
from clipbench.training.image_cache.chunks import Chunk
from clipbench.training.image_cache.codes import PixelCodec, decode


class ImageCache:
    """Preprocessed images, opened for reading: ``clipbench.training.image_cache.build.build_image_cache`` makes it.

    Attributes:
        shape: Shape of one image as the model takes it, ``(3, H, W)``.
        broken: Images that cannot be read, by index, and why. The next build tries them again.
        contents: For each image what identifies its content; two images that are equal files have the same.
        lookup: The value of each code in each channel, ``(3, 256)`` float32; None if floats are stored.
    """

    def __init__(self, chunks: Sequence[Chunk], codec: PixelCodec, contents: Sequence[str]) -> None:
        self.contents = contents
        self.shape, self.lookup, self._dtype = codec.shape, codec.table, codec.dtype
        self._rows = [chunk.rows for chunk in chunks]
        self._per_chunk = len(chunks[0].rows)
        self.broken: Mapping[int, str] = {
            number * self._per_chunk + position: why
            for number, chunk in enumerate(chunks)
            for position, why in chunk.broken.items()
        }
        self._lookups: dict[torch.device, torch.Tensor | None] = {}

    def __len__(self) -> int:
        return sum(map(len, self._rows))

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
        """Images as stored: ``(B, *shape)`` uint8, or float32 without ``lookup``, on the CPU.

        Args:
            indices: Which images, ``(B,)``.
            pinned: Put them into page-locked memory, for a copy that does not wait.

        Raises:
            DataError: One of them cannot be read.
        """
        dtype = torch.uint8 if self._dtype == np.uint8 else torch.float32
        batch = torch.empty((len(indices), *self.shape), dtype=dtype, pin_memory=pinned)
        count = len(self)
        for index, row in zip(indices.tolist(), batch.numpy(), strict=True):
            if not 0 <= index < count:
                raise IndexError(f"image {index} of {count}")
            if index in self.broken:
                raise DataError(f"image {index} cannot be trained on: {self.broken[index]}")
            row[...] = self._rows[index // self._per_chunk][index % self._per_chunk]
        return batch
