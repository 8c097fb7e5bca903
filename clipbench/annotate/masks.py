"""Masks: (H, W) boolean arrays, True on the object. Pure functions; lengths in pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Mask = NDArray[np.bool_]
Point = tuple[float, float]
Box = tuple[float, float, float, float]


def widen(mask: Mask, x: int, y: int) -> Mask:
    """The mask, wider by `x` pixels to the left and to the right, and by `y` upwards and downwards.

    Negative numbers make it narrower.
    """
    raise NotImplementedError


def grow(mask: Mask, pixels: int) -> Mask:
    """The mask with everything within `pixels` of it (Euclidean); negative shrinks."""
    raise NotImplementedError


def shrink(mask: Mask, pixels: int) -> Mask:
    """The mask without what is within `pixels` of its outside. The picture's border is no outside."""
    return grow(mask, -pixels)


def brush(mask: Mask, points: Sequence[Point], radius: float, *, erase: bool = False) -> Mask:
    """The mask with a stroke added or, with `erase`, taken away.

    Args:
        mask: (H, W).
        points: (x, y) along the stroke, in pixels of the picture; may lie outside.
        radius: Half the stroke's width.
        erase: The eraser.
    """
    raise NotImplementedError


def box_mask(size: tuple[int, int], box: Box) -> Mask:
    """The mask of a box (left, top, right, bottom), cut at the border of a picture of `size` (width, height)."""
    raise NotImplementedError


def grab_cut(
    image: Image.Image, *, box: Box | None = None, foreground: Mask | None = None, background: Mask | None = None
) -> Mask:
    """The object in a box, or under a stroke, found by OpenCV's GrabCut.

    Args:
        image: RGB.
        box: (left, top, right, bottom): what is outside is background.
        foreground: (H, W): surely the object, a stroke.
        background: (H, W): surely not.

    Raises:
        DataError: Neither box nor stroke, or nothing was found.
        ConfigError: OpenCV is not installed.
    """
    raise NotImplementedError


def check(mask: Mask, size: tuple[int, int]) -> None:
    """Refuse a mask that nothing can be painted in.

    Raises:
        DataError: It is empty, covers the whole picture, or has another size than `size` (width, height).
    """
    raise NotImplementedError


def to_png(mask: Mask) -> bytes:
    """A mask as PNG: mode L, 255 on the object, 0 elsewhere."""
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, "PNG", optimize=True)
    return file.getvalue()


def from_image(image: Image.Image, size: tuple[int, int]) -> Mask:
    """The mask of a picture in black and white (or of its alpha channel, if it has one).

    Raises:
        DataError: The size is not `size` (width, height).
    """
    raise NotImplementedError
