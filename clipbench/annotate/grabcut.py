"""The object in a box or under a stroke, by OpenCV's GrabCut (Rother et al. 2004)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from clipbench.annotate.masks import Box, Mask, bounds, box_mask, grow
from clipbench.errors import ConfigError, DataError

_ITERATIONS = 5
_LARGEST_SIDE = 480  # pixels; a larger picture is cut at this size: a second instead of many
_AROUND = 0.35  # of the box's sides: background beyond that says nothing about the object's edge
_SPECK = 0.03  # of the largest piece's area: smaller pieces, and smaller holes, are noise
_FEWEST = 25  # pixels of each side: five colors are fitted to it


def opencv() -> Any:
    """The module cv2.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise ConfigError('OpenCV is not installed: pip install "clipbench[annotate]"') from None
    return cv2


def grab_cut(
    image: Image.Image, *, box: Box | None = None, foreground: Mask | None = None, background: Mask | None = None
) -> Mask:
    """The mask, (H, W), of the object in a box, or under a stroke; the same for the same input.

    Args:
        image: RGB.
        box: Two opposite corners (x0, y0, x1, y1): what is outside is background.
        foreground: (H, W): surely the object, a stroke.
        background: (H, W): surely not.

    Raises:
        DataError: Neither box nor stroke, no background is left, or nothing was found.
        ConfigError: OpenCV is not installed.
    """
    cv2 = opencv()
    if foreground is not None and not foreground.any():
        foreground = None
    if box is None and foreground is None:
        raise DataError("draw a box around the object, or a stroke over it")
    hints = _hints(cv2, image.size, box, foreground, background)
    window = _window(hints != cv2.GC_BGD, image.size)
    near = image.convert("RGB").crop(window)
    scale = min(1.0, _LARGEST_SIDE / max(near.size))
    small = (max(1, round(near.width * scale)), max(1, round(near.height * scale)))
    pixels = np.ascontiguousarray(np.asarray(near.resize(small, Image.Resampling.BOX))[..., ::-1])
    left, top, right, bottom = window
    hints = cv2.resize(hints[top:bottom, left:right], small, interpolation=cv2.INTER_NEAREST)
    inside = (hints == cv2.GC_FGD) | (hints == cv2.GC_PR_FGD)
    if inside.sum() < _FEWEST:
        raise DataError("the box or stroke is too small to find an object in: draw a larger one")
    if (~inside).sum() < _FEWEST:
        raise DataError("the box covers the whole picture: leave some background outside, or draw a stroke")
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(pixels, hints, None, np.zeros((1, 65)), np.zeros((1, 65)), _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    except cv2.error as error:
        raise DataError(f"OpenCV could not separate object and background ({error.err}): draw it again") from None
    cut = np.asarray((hints == cv2.GC_FGD) | (hints == cv2.GC_PR_FGD), np.float32)
    found = np.zeros((image.height, image.width), bool)
    smooth = Image.fromarray(cut).resize(near.size, Image.Resampling.BILINEAR)
    found[top:bottom, left:right] = np.asarray(smooth) > 0.5
    found = _without_specks(found)
    if foreground is not None:
        found |= foreground
        if box is None:  # what looks like the object elsewhere in the picture is another one
            pieces, _ = ndimage.label(found)
            found = np.isin(pieces, np.unique(pieces[foreground]))
    if background is not None:
        found &= ~background
    if not found.any():
        raise DataError("no object was found there: draw the box closer, or use the brush")
    return found


def _window(undecided: Mask, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box of what may be the object, with some background around it."""
    if not undecided.any():
        return (0, 0, *size)
    left, top, right, bottom = bounds(undecided)
    x, y = (max(10, int(_AROUND * length)) for length in (right - left, bottom - top))
    return max(0, left - x), max(0, top - y), min(size[0], right + x), min(size[1], bottom + y)


def _hints(
    cv2: Any, size: tuple[int, int], box: Box | None, foreground: Mask | None, background: Mask | None
) -> NDArray[np.uint8]:
    """OpenCV's labels, (H, W): sure and probable object and background."""
    hints = np.full((size[1], size[0]), cv2.GC_BGD if box is not None else cv2.GC_PR_BGD, np.uint8)
    if box is not None:
        hints[box_mask(size, box)] = cv2.GC_PR_FGD
    elif foreground is not None:  # the object is larger than the stroke on it, by about the stroke's extent
        left, top, right, bottom = bounds(foreground)
        hints[grow(foreground, max(4, min(right - left, bottom - top) / 4))] = cv2.GC_PR_FGD
    if foreground is not None:
        hints[foreground] = cv2.GC_FGD
    if background is not None:
        hints[background] = cv2.GC_BGD
    return hints


def _without_specks(mask: Mask) -> Mask:
    """The large pieces of a mask, without the small holes in them."""
    for value in (True, False):
        labels, count = ndimage.label(mask == value)
        if count < 2:
            continue
        areas = np.bincount(labels.ravel())[1:]
        small = 1 + np.flatnonzero(areas < _SPECK * (areas.max() if value else mask.sum()))
        mask = np.where(np.isin(labels, small), not value, mask)
    return mask
