"""Another size for an object: it is scaled on the spot, and the background behind it is filled."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipbench.annotate.masks import Mask, bounds, grow
from clipbench.annotate.painters.fill import fill
from clipbench.errors import ConfigError, DataError

_SMALLER: Final = ("small", "little", "tiny", "short", "thin")
_LARGER: Final = ("large", "big", "huge", "giant", "tall", "long", "fat")
_UPWARDS: Final = frozenset((("tall", "short"), ("short", "tall")))  # what changes in height alone
_LONGWAYS: Final = frozenset((("long", "short"),))  # along the object's longer side
_SIDEWAYS: Final = frozenset((("thin", "fat"), ("fat", "thin")))
_RIM: Final = 3  # pixels around an object that have its color, too
_LARGEST_SHARE: Final = 0.92  # of the picture's width and height: an object never fills it
_VISIBLE: Final = 1.18  # a smaller change is none


def resize(image: Image.Image, mask: Mask, old: str, new: str, amount: float, choice: int) -> tuple[Image.Image, Mask]:
    """The picture with the object of another size, standing where it stood, and the mask of what may have changed.

    Args:
        image: RGB.
        mask: (H, W), the object.
        old: The word for its size, e.g. ``large``.
        new: The word for its new size.
        amount: From a mild change (0) to a strong one (1).
        choice: Which background to fill in; see `fill`.

    Raises:
        ConfigError: `new` is no size.
        DataError: There is no room for a larger object, or it is too small to shrink.
    """
    left, top, right, bottom = bounds(mask)
    x, y = _factors(mask, image.size, (old, new), amount)
    width, height = max(1, round((right - left) * x)), max(1, round((bottom - top) * y))
    if min(width, height) < 4:
        raise DataError("the object has too few pixels to become smaller: choose another picture")
    # It keeps its foot: objects stand on something.
    place_x = _inside(round((left + right - width) / 2), width, image.width, left, right)
    place_y = _inside(bottom - height, height, image.height, top, bottom)
    alpha = np.zeros(mask.shape, np.float32)
    colors = np.zeros((*mask.shape, 3), np.float32)
    box = (slice(place_y, place_y + height), slice(place_x, place_x + width))
    alpha[box], colors[box] = _scaled(image, mask, (width, height))
    # What shows of the old object beside the new one is filled; its rim has its color and goes with it.
    hole = grow(mask, _RIM)
    uncovered = hole & (alpha < 1)
    ground = np.asarray(fill(image, hole, choice) if uncovered.any() else image.convert("RGB"), np.float32)
    pixels = ground * (1 - alpha[..., None]) + colors * alpha[..., None]
    return Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8)), hole | (alpha > 0)


def _factors(mask: Mask, size: tuple[int, int], words: tuple[str, str], amount: float) -> tuple[float, float]:
    """How much wider and higher the object becomes."""
    if words[1] not in _SMALLER + _LARGER:
        raise ConfigError(f"{words[1][:60]!r} is not a size: use one of {', '.join(_LARGER + _SMALLER)}")
    left, top, right, bottom = bounds(mask)
    if words[1] in _SMALLER:
        factor = 0.68 - 0.24 * amount
    else:
        room = min(_LARGEST_SHARE * size[0] / (right - left), _LARGEST_SHARE * size[1] / (bottom - top))
        if room < _VISIBLE:
            raise DataError("the object fills the picture already and cannot become larger: skip this picture")
        most = min(1.8, room)
        factor = most - (1 - amount) * 0.55 * (most - 1)
    if words in _UPWARDS:
        return 1.0, factor
    if words in _SIDEWAYS:
        return factor, 1.0
    if words in _LONGWAYS:
        return (factor, 1.0) if right - left > bottom - top else (1.0, factor)
    return factor, factor


def _inside(start: int, length: int, whole: int, old_start: int, old_end: int) -> int:
    """A place in the picture; an object that the picture's border cuts off stays at that border."""
    if old_start == 0 and old_end < whole:
        return 0
    if old_end == whole and old_start > 0:
        return whole - length
    return max(0, min(whole - length, start))


def _scaled(image: Image.Image, mask: Mask, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Opacity (H, W) and colors (H, W, 3) of the object alone, in another size.

    Colors are weighted by opacity, so that the background does not bleed in.
    """
    left, top, right, bottom = bounds(mask)
    part = (slice(top, bottom), slice(left, right))
    opaque = mask[part].astype(np.float32)
    colors = np.asarray(image.convert("RGB"), np.float32)[part] * opaque[..., None]

    def scale(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))

    alpha = scale(opaque)
    mixed = np.stack([scale(np.ascontiguousarray(colors[..., channel])) for channel in range(3)], axis=-1)
    return alpha, (mixed / np.maximum(alpha, 1e-6)[..., None]).astype(np.float32)
