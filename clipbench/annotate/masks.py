"""Masks: (H, W) boolean arrays, True on the object. Pure functions; lengths in pixels.

A pixel's center is at half numbers: the top left pixel covers (0, 0) to (1, 1).
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from clipbench.errors import DataError

Mask = NDArray[np.bool_]
Point = tuple[float, float]
Box = tuple[float, float, float, float]
_SMALLEST_RADIUS = 0.71  # half a pixel's diagonal: a point always paints its pixel


def widen(mask: Mask, x: int, y: int) -> Mask:
    """The mask, wider by `x` pixels to the left and to the right, and by `y` upwards and downwards.

    Negative numbers make it narrower; the picture's border is no outside.

    Examples:
        >>> widen(np.array([[0, 0, 1, 0, 0]], bool), 1, 0).astype(int)
        array([[0, 1, 1, 1, 0]])
    """
    wide = _along(mask, x, 1)
    return _along(wide, y, 0)


def _along(mask: Mask, pixels: int, axis: int) -> Mask:
    reach = min(abs(pixels), mask.shape[axis])
    if reach == 0:
        return mask.copy()
    spread = ndimage.maximum_filter1d if pixels > 0 else ndimage.minimum_filter1d
    border = 0 if pixels > 0 else 1
    return spread(mask.astype(np.uint8), 2 * reach + 1, axis=axis, mode="constant", cval=border) > 0  # type: ignore[no-any-return]


def grow(mask: Mask, pixels: float) -> Mask:
    """The mask with everything within `pixels` of it (Euclidean); negative shrinks."""
    if pixels < 0:
        return shrink(mask, -pixels)
    if not mask.any():
        return mask.copy()
    return ndimage.distance_transform_edt(~mask) <= pixels  # type: ignore[no-any-return]


def shrink(mask: Mask, pixels: float) -> Mask:
    """The mask without what is within `pixels` of its outside. The picture's border is no outside."""
    if pixels < 0:
        return grow(mask, -pixels)
    return ~grow(~mask, pixels)


def brush(mask: Mask, points: Sequence[Point], radius: float, *, erase: bool = False) -> Mask:
    """The mask with a stroke added or, with `erase`, taken away.

    Args:
        mask: (H, W).
        points: (x, y) along the stroke, in pixels of the picture; may lie outside. One point paints a disk.
        radius: Half the stroke's width.
        erase: The eraser.

    Raises:
        DataError: A number is not finite, or the radius not positive.
    """
    if not all(math.isfinite(number) for point in points for number in point) or not 0 < radius < math.inf:
        raise DataError("a brush stroke needs finite points and a positive radius: draw it again")
    result = mask.copy()
    for start, end in zip(points, points[1:] or points, strict=False):
        _segment(result, start, end, max(radius, _SMALLEST_RADIUS), not erase)
    return result


def _segment(mask: Mask, start: Point, end: Point, radius: float, value: bool) -> None:
    """Set the pixels whose centers are within `radius` of a line from `start` to `end`."""
    (x0, y0), (x1, y1) = start, end
    left, right = _span(min(x0, x1) - radius, max(x0, x1) + radius, mask.shape[1])
    top, bottom = _span(min(y0, y1) - radius, max(y0, y1) + radius, mask.shape[0])
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right)[None, :] + 0.5 - x0
    y = np.arange(top, bottom)[:, None] + 0.5 - y0
    dx, dy = x1 - x0, y1 - y0
    along = np.clip((x * dx + y * dy) / ((dx * dx + dy * dy) or 1.0), 0, 1)
    near = (x - along * dx) ** 2 + (y - along * dy) ** 2 <= radius**2
    mask[top:bottom, left:right][near] = value


def box_mask(size: tuple[int, int], box: Box) -> Mask:
    """The mask of a box, cut at the picture's border.

    Args:
        size: The picture's (width, height).
        box: Two opposite corners (x0, y0, x1, y1), in any order.

    Raises:
        DataError: A number is not finite.
    """
    if not all(math.isfinite(number) for number in box):
        raise DataError("a box needs four finite numbers: draw it again")
    (width, height), (x0, y0, x1, y1) = size, box
    left, right = _span(min(x0, x1), max(x0, x1), width)
    top, bottom = _span(min(y0, y1), max(y0, y1), height)
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


def _span(low: float, high: float, length: int) -> tuple[int, int]:
    """The pixels, as a half-open range, whose centers lie between two numbers."""
    first, last = (int(max(0, min(length, math.ceil(edge - 0.5)))) for edge in (low, high))
    return first, last


def bounds(mask: Mask) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) around a mask that is not empty; right and bottom are exclusive."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def check(mask: Mask, size: tuple[int, int]) -> None:
    """Refuse a mask that nothing can be painted in.

    Args:
        mask: (H, W).
        size: The picture's (width, height).

    Raises:
        DataError: It is empty, covers the whole picture, or has another size.
    """
    if mask.shape != (size[1], size[0]):
        shape = " x ".join(str(length) for length in mask.shape[::-1])
        raise DataError(f"the mask has {shape} pixels and the picture {size[0]} x {size[1]}: they must be equal")
    if not mask.any():
        raise DataError("the mask is empty: paint the object with the brush, or try another masking prompt")
    if mask.all():
        raise DataError("the mask covers the whole picture: nothing would stay equal; shrink it or erase a part")


def to_png(mask: Mask) -> bytes:
    """A mask as PNG: mode L, 255 on the object, 0 elsewhere."""
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, "PNG")
    return file.getvalue()


def from_image(image: Image.Image, size: tuple[int, int]) -> Mask:
    """The mask in a picture: what is brighter than middle gray or, if it has an alpha channel, more than half opaque.

    Args:
        image: Of any mode.
        size: The (width, height) that it must have.

    Raises:
        DataError: It has another size.
    """
    if image.size != size:
        raise DataError(f"the mask has {image.width} x {image.height} pixels and the picture {size[0]} x {size[1]}")
    if "A" in image.getbands():
        return np.asarray(image.getchannel("A")) > 127
    return np.asarray(image.convert("L")) > 127
