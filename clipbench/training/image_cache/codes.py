"""Preprocessed images as one byte a value, found out from what a model's preprocessing does.

Preprocessing of a CLIP resizes and crops 8-bit pixels, and only then computes ``(v / 255 − mean) / std``: behind each
channel's float32 values take at most 256 levels. A byte and a table of 3 × 256 floats hold an image exactly, in a
quarter of the space. The table comes from the outputs alone, whatever the adapter, and every pixel is checked against
it; where it does not hold, values are kept as they are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from clipbench.errors import ModelError
from clipbench.models import probes
from clipbench.models.base import Model

LEVELS = 256


class OffTable(Exception):
    """A preprocessed value that is none of its channel's 256: no failure, but a reason to store floats."""


@dataclass(frozen=True, slots=True)
class PixelCodec:
    """How preprocessed images of one model are stored.

    Attributes:
        shape: Shape of one preprocessed image: ``(3, H, W)``, or what the model's preprocessing gives.
        table: The float32 value of each level, ``(3, 256)``; None where values are stored as they are.
        digest: Hex digest of what the preprocessing does, as seen on fixed images: equal means equal pixels.
    """

    shape: tuple[int, ...]
    table: torch.Tensor | None
    digest: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of stored values: uint8 codes, or float32."""
        return np.dtype(np.float32 if self.table is None else np.uint8)

    @property
    def row_bytes(self) -> int:
        """Bytes of one stored image."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def without_table(self) -> PixelCodec:
        """The codec that stores float32."""
        return replace(self, table=None)

    def encode(self, pixels: torch.Tensor, row: npt.NDArray[Any]) -> None:
        """Write one preprocessed image into ``row``, an array of ``shape`` and ``dtype``.

        Raises:
            OffTable: The table does not give these very bits back.
            ModelError: The image has another shape than the others.
        """
        if tuple(pixels.shape) != self.shape:
            raise ModelError(
                f"preprocessing gives {tuple(pixels.shape)} for one image and {self.shape} for another:"
                " they cannot share a batch; use a processor with a fixed size"
            )
        if self.table is None:
            row[:] = pixels.to(torch.float32).numpy()
            return
        if pixels.dtype != torch.float32:
            raise OffTable
        for values, levels, codes in zip(pixels.numpy(), self.table.numpy(), row, strict=True):
            # Levels are evenly spaced but for rounding. A guess that is wrong, or no number, fails the check.
            step = (levels[-1] - levels[0]) / np.float32(LEVELS - 1)
            with np.errstate(invalid="ignore", over="ignore"):
                codes[:] = np.rint((values - levels[0]) / step).clip(0, LEVELS - 1)
            found = np.take(levels, codes)
            # Bits, not numbers: 0.0 equals -0.0 and NaN differs from itself.
            if not np.array_equal(found.view(np.uint32), np.ascontiguousarray(values).view(np.uint32)):
                raise OffTable


def find_codec(model: Model) -> PixelCodec:
    """Find out how a model's preprocessed images can be stored without loss.

    Images of one level each give the table: resizing and cropping leave an even image even. Two images of noise, one
    larger and one smaller than the model's input, show whether resized pixels keep to it.

    Raises:
        ModelError: Preprocessing gives different shapes for different images.
    """
    first = model.preprocess(probes.gray_image())
    codec = PixelCodec(tuple(first.shape), _table(model, first), "")
    noise = [model.preprocess(probes.noise_image(width, height)) for width, height in ((577, 433), (23, 37))]
    row = np.empty(codec.shape, codec.dtype)
    for probe in noise:
        try:
            codec.encode(probe, row)
        except OffTable:
            codec = codec.without_table()
            break
    sha = hashlib.sha256(repr((codec.shape, codec.dtype.str)).encode())
    for seen in [*noise, *([] if codec.table is None else [codec.table])]:
        sha.update(np.ascontiguousarray(seen.to(torch.float32).numpy()).tobytes())
    return replace(codec, digest=sha.hexdigest())


def resized_bytes(model: Model, codec: PixelCodec) -> bool:
    """Whether ``model.resized`` gives the bytes whose values in the codec's table are ``model.preprocess``, to the bit.

    Tried on images of noise, larger and smaller than the model's input, upright and lying.
    """
    if codec.table is None:
        return False
    for width, height in ((577, 433), (433, 577), (23, 37), (224, 224)):
        image = probes.noise_image(width, height)
        try:
            codes = model.resized(image)
        except Exception:  # a processor without these options; another way is open
            return False
        if codes is None or codes.dtype != np.uint8 or codes.shape != codec.shape:
            return False
        found = decode(torch.from_numpy(np.ascontiguousarray(codes))[None], codec.table)[0]
        if not torch.equal(found.view(torch.int32), model.preprocess(image).contiguous().view(torch.int32)):
            return False
    return True


def decode(codes: torch.Tensor, table: torch.Tensor | None) -> torch.Tensor:
    """Turn codes back into their values, on their own device.

    Args:
        codes: ``(B, 3, H, W)`` uint8; float32 of any shape without a table.
        table: ``(3, 256)`` float32.

    Returns:
        float32 of the codes' shape; the codes themselves without a table.
    """
    if table is None:
        return codes
    if codes.device.type != "cpu":
        return gather(codes, table)
    pixels = torch.empty(codes.shape, dtype=torch.float32)
    # A channel at a time numpy's take is bound by memory; torch's gathers widen the index and take five times longer.
    for image, out in zip(codes.numpy(), pixels.numpy(), strict=True):
        for levels, plane, values in zip(table.numpy(), image, out, strict=True):
            np.take(levels, plane, out=values, mode="clip")  # a byte is always in range; "raise" would copy
    return pixels


def gather(codes: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """``decode`` in torch's operations, for accelerators."""
    first = torch.arange(0, table.numel(), LEVELS, dtype=torch.int32, device=codes.device)  # of each channel
    index = codes.to(torch.int32) + first[:, None, None]
    return table.flatten().index_select(0, index.flatten()).view(codes.shape)


def _table(model: Model, first: torch.Tensor) -> torch.Tensor | None:
    """The value of each level in each channel, ``(3, 256)``, where an even image has one, and levels stay in order."""
    if first.ndim != 3 or len(first) != 3:
        return None
    size = (first.shape[2], first.shape[1])
    columns = []
    for level in range(LEVELS):
        pixels = model.preprocess(Image.new("RGB", size, (level, level, level)))
        column = pixels[:, 0, 0].clone()
        if pixels.shape != first.shape or not bool((pixels == column[:, None, None]).all()):
            return None
        columns.append(column)
    table = torch.stack(columns, dim=1)
    return table if bool((table.diff(dim=1) > 0).all()) else None
