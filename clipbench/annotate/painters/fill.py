"""Fills a hole in a photograph with what is around it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from clipbench.annotate.grabcut import opencv
from clipbench.annotate.masks import Mask, bounds, grow

Floats = NDArray[np.float32]
_SEARCH_SIDE: Final = 96  # pixels: offsets are searched in a small copy
_BEND: Final = 20.0  # of 255: two places that differ by more are two things, and bending one is a stain
_RING: Final = 3  # pixels of the small copy around the hole, which have to fit
_ROUNDS: Final = 6
_WORTH: Final = 0.3  # of the hole's rest: what one copied piece has to fill


def fill(image: Image.Image, hole: Mask, choice: int = 0) -> Image.Image:
    """The picture with a hole filled by pieces of the rest.

    A piece is copied from where its surroundings fit best (as in He & Sun 2012, a few dominant offsets), and its colors
    are bent so that it has no seam. What no piece fits into is OpenCV's inpainting (Telea 2004).

    Args:
        image: RGB.
        hole: (H, W).
        choice: 0 takes the best offset, 1 and more the next best ones.
    """
    pixels = np.asarray(image.convert("RGB"), np.float32)
    rest = hole.copy()
    if hole.any() and not hole.all():
        for turn in range(_ROUNDS):
            offset = _best_offset(pixels, rest, choice if turn == 0 else 0)
            if offset is None:
                break
            pixels, rest = _copied(pixels, rest, offset)
            if not rest.any():
                break
    if rest.any():
        cv2 = opencv()
        flat = cv2.inpaint(np.round(pixels).astype(np.uint8), rest.astype(np.uint8), 5, cv2.INPAINT_TELEA)
        pixels = flat.astype(np.float32)
    return Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8))


def _best_offset(pixels: Floats, hole: Mask, choice: int) -> tuple[int, int] | None:
    """(dx, dy) from where to copy, in pixels; None if no piece fills enough of the hole."""
    height, width = hole.shape
    scale = max(1.0, max(height, width) / _SEARCH_SIDE)
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    small = np.asarray(Image.fromarray(pixels.astype(np.uint8)).resize(size, Image.Resampling.BOX), np.float32)
    gap = np.asarray(Image.fromarray(hole.astype(np.float32)).resize(size, Image.Resampling.BOX)) > 0
    ring = grow(gap, _RING) & ~gap
    if not ring.any():
        return None
    ring_y, ring_x = np.nonzero(ring)
    gap_y, gap_x = np.nonzero(gap)
    wanted = small[ring_y, ring_x]
    left, top, right, bottom = bounds(gap)
    costs: list[tuple[float, int, int]] = []
    for dy in range(-top, size[1] - bottom + (bottom - top), 2):
        for dx in range(-left - (right - left) // 2, size[0] - (left + right) // 2, 2):
            usable = _usable(gap, gap_y + dy, gap_x + dx)
            share = float(usable.mean())
            if share < _WORTH:
                continue
            near = _usable(gap, ring_y + dy, ring_x + dx)
            if near.mean() < 0.4:
                continue
            apart = small[ring_y[near] + dy, ring_x[near] + dx] - wanted[near]
            spread = apart.std(axis=0).mean() + 0.3 * np.abs(apart.mean(axis=0)).mean()  # a shift in color is bent away
            costs.append((float(spread) + 40 * (1 - share) + 0.03 * (abs(dx) + 2 * abs(dy)), dx, dy))
    if not costs:
        return None
    costs.sort()
    ranked: list[tuple[int, int]] = []
    for _, dx, dy in costs:  # the next best is another place, not the neighboring pixel
        if all(abs(dx - x) + abs(dy - y) > 6 for x, y in ranked):
            ranked.append((dx, dy))
        if len(ranked) > choice:
            break
    dx, dy = ranked[-1]
    return round(dx * scale), round(dy * scale)


def _usable(gap: Mask, y: NDArray[np.intp], x: NDArray[np.intp]) -> Mask:
    """Which of some places are in the picture and not in the hole."""
    inside: Mask = (y >= 0) & (y < gap.shape[0]) & (x >= 0) & (x < gap.shape[1])
    usable: Mask = inside.copy()
    usable[inside] = ~gap[y[inside], x[inside]]
    return usable


def _copied(pixels: Floats, hole: Mask, offset: tuple[int, int]) -> tuple[Floats, Mask]:
    """The picture with one piece copied into the hole, and the hole's rest."""
    y, x = np.nonzero(hole)
    usable = _usable(hole, y + offset[1], x + offset[0])
    y, x = y[usable], x[usable]
    result = pixels.copy()
    result[y, x] = pixels[y + offset[1], x + offset[0]]
    rest = hole.copy()
    rest[y, x] = False
    # What the surroundings differ from the copy's surroundings, carried smoothly into the hole.
    around_y, around_x = np.nonzero(grow(hole, 3) & ~hole)
    known = _usable(hole, around_y + offset[1], around_x + offset[0])
    around_y, around_x = around_y[known], around_x[known]
    apart = np.zeros_like(pixels)
    apart[around_y, around_x] = pixels[around_y, around_x] - pixels[around_y + offset[1], around_x + offset[0]]
    sure = np.zeros(hole.shape, np.float32)
    sure[around_y, around_x] = 1
    result[y, x] += np.clip(_membrane(apart, sure, hole)[y, x], -_BEND, _BEND)
    return np.clip(result, 0, 255), rest


def _membrane(values: Floats, sure: Floats, hole: Mask) -> Floats:
    """Values known where `sure` is 1, spread smoothly into the hole: near its edge by the nearest ones."""
    left, top, right, bottom = bounds(hole | (sure > 0))
    part = (slice(top, bottom), slice(left, right))
    result = np.zeros_like(values)
    total = np.zeros(hole.shape, np.float32)[part]
    spread = np.zeros_like(values[part])
    sigma = 2.0
    while True:
        weight = ndimage.gaussian_filter(sure[part], sigma, mode="constant", truncate=3)
        share = np.clip(weight * sigma * sigma, 0, None) * (1 - np.clip(total, 0, 1))
        summed = [
            ndimage.gaussian_filter((values * sure[..., None])[part][..., c], sigma, mode="constant", truncate=3)
            for c in range(3)
        ]
        spread += share[..., None] * np.stack(summed, -1) / np.maximum(weight, 1e-12)[..., None]
        total += share
        sigma *= 2
        if sigma > max(bottom - top, right - left):
            break
    result[part] = spread / np.maximum(total, 1e-6)[..., None]
    return result
