"""Another color for an object, its shading kept: in CIELAB, lightness is shifted and chroma replaced."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor
from scipy import ndimage

from clipbench.annotate.grabcut import opencv
from clipbench.annotate.masks import Mask
from clipbench.errors import ConfigError

Floats = NDArray[np.float32]

_COLORS: Final = {  # as objects have them; those of CSS are too pure
    "blue": (16, 96, 200),
    "red": (190, 32, 38),
    "green": (44, 128, 60),
    "yellow": (240, 204, 40),
    "black": (30, 30, 33),
    "white": (236, 236, 234),
    "brown": (112, 70, 42),
    "gray": (128, 129, 132),
    "grey": (128, 129, 132),
    "orange": (234, 122, 28),
}
# How far an object's own lightness moves to the color's: white is light and yellow bright whatever the object was.
_PULL: Final = {"white": 0.95, "black": 0.95, "yellow": 0.85, "brown": 0.85, "orange": 0.8, "gray": 0.8, "grey": 0.8}
_USUAL_PULL: Final = 0.75
_CHROMATIC: Final = 12.0  # chroma from which a color has a hue
_FEWEST: Final = 0.12  # of the mask: with less of the keyword's color, the mask is recolored whole


def recolor(
    image: Image.Image, mask: Mask, old: str, new: str, shade: float = 0.5, strength: float = 0.5
) -> Image.Image:
    """The picture with what has the color `old` inside the mask in the color `new`.

    Parts of the object in other colors (windows, tires, eyes) stay. If hardly anything has the color `old`, all of the
    mask is recolored.

    Args:
        image: RGB.
        mask: (H, W).
        old: A color word; any other word means all of the mask.
        new: A color word.
        shade: From darker (0) to lighter (1).
        strength: From paler (0) to more colorful (1).

    Raises:
        ConfigError: `new` is no color, or OpenCV is not installed.
    """
    cv2 = opencv()
    target = _lab(cv2, new)
    pixels = np.asarray(image.convert("RGB"), np.float32) / 255
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    weight = _membership(lab, mask, _lab(cv2, old) if _is_color(old) else None)
    painted = np.clip(cv2.cvtColor(_shifted(lab, weight, new, target, shade, strength), cv2.COLOR_LAB2RGB), 0, 1)
    # Smooth between the object's parts, but not over the mask's edge, where a rim of the old color would stay.
    inside = ndimage.gaussian_filter(mask.astype(np.float32), 0.8)
    alpha = (ndimage.gaussian_filter(weight, 0.8) / np.maximum(inside, 1e-6) * mask)[..., None]
    mixed = pixels * (1 - alpha) + painted * alpha
    return Image.fromarray(np.round(mixed * 255).astype(np.uint8))


def _is_color(word: str) -> bool:
    try:
        return bool(_rgb(word))
    except ConfigError:
        return False


def _rgb(word: str) -> tuple[int, ...]:
    try:
        return _COLORS.get(word.lower()) or ImageColor.getrgb(word.lower().replace(" ", ""))[:3]
    except ValueError:
        raise ConfigError(f"{word[:60]!r} is not a color: use one of {', '.join(_COLORS)}, or a CSS color") from None


def _lab(cv2: Any, word: str) -> Floats:
    """Lightness 0 to 100, and the two color axes."""
    return cv2.cvtColor(np.array([[_rgb(word)]], np.float32) / 255, cv2.COLOR_RGB2LAB)[0, 0]  # type: ignore[no-any-return]


def _ramp(values: Floats, low: float, high: float) -> Floats:
    """0 below `low`, 1 above `high`, smooth between; the other way round if low > high."""
    t = np.clip((values - low) / (high - low), 0, 1)
    smooth: Floats = (t * t * (3 - 2 * t)).astype(np.float32)
    return smooth


def _membership(lab: Floats, mask: Mask, old: Floats | None) -> Floats:
    """How much a pixel inside the mask has the old color, (H, W), 0 to 1."""
    everything = mask.astype(np.float32)
    if old is None:
        return everything
    lightness, chroma = lab[..., 0], np.hypot(lab[..., 1], lab[..., 2])
    weight = _of_hue(lab, chroma, mask, old) if np.hypot(old[1], old[2]) > _CHROMATIC else None
    if weight is None:
        weight = _of_no_hue(lightness, chroma, mask, float(old[0]))
    weight = weight * everything
    return weight if weight.sum() >= _FEWEST * mask.sum() else everything


def _of_hue(lab: Floats, chroma: Floats, mask: Mask, old: Floats) -> Floats:
    """Membership of a color with a hue; the object's own hue, near the word's, counts."""

    def away(hue: float) -> Floats:
        angle = np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) - hue
        return np.abs((angle + 180) % 360 - 180).astype(np.float32)

    near = mask & (chroma > _CHROMATIC) & (away(float(np.degrees(np.arctan2(old[2], old[1])))) < 60)
    if near.sum() < _FEWEST * mask.sum():
        return np.zeros_like(chroma)
    own = np.degrees(np.arctan2(lab[..., 2][near].mean(), lab[..., 1][near].mean()))
    usual = float(np.median(chroma[near]))
    return _ramp(away(float(own)), 65, 35) * _ramp(chroma, 0.12 * usual, 0.4 * usual)


def _of_no_hue(lightness: Floats, chroma: Floats, mask: Mask, old: float) -> Floats:
    """Membership of black, white and gray: little chroma, and the object's own lightness near the word's."""
    pale = _ramp(chroma, 42, 20)
    near = mask & (pale > 0.5) & (np.abs(lightness - old) < 45)
    if not near.any():
        return np.zeros_like(chroma)
    usual = float(np.median(lightness[near]))
    if old > 75:
        return pale * _ramp(lightness, usual - 60, usual - 35)
    if old < 25:
        return pale * _ramp(lightness, usual + 55, usual + 30)
    return pale * _ramp(np.abs(lightness - usual), 55, 35)


def _shifted(lab: Floats, weight: Floats, word: str, target: Floats, shade: float, strength: float) -> Floats:
    """All pixels in the new color, as if all had the old one."""
    own = weight > 0.5
    middle, middle_a, middle_b = (float(np.median(lab[..., channel][own])) for channel in range(3))
    usual = max(float(np.median(np.hypot(lab[..., 1], lab[..., 2])[own])), 1.0)
    pull = _PULL.get(word.lower(), _USUAL_PULL)
    anchor = pull * target[0] + (1 - pull) * middle
    room = 11.0 if 25 < target[0] < 85 else 6.0  # a light black is gray
    anchor = float(np.clip(anchor + (2 * shade - 1) * room, 10, 93))
    contrast = float(np.clip(anchor / max(middle, 5), 0.55, 1.25))
    lightness = _soft(anchor + contrast * (lab[..., 0] - middle))
    full = float(np.hypot(target[1], target[2]))
    hue = np.arctan2(target[2], target[1]) + np.radians(14 * (strength - 0.5))
    chroma = np.full_like(lightness, full * (0.75 + 0.4 * strength) if full > _CHROMATIC else full)
    # Dark and very light pixels hold less color, and so do highlights, where the old color was pale, too.
    chroma *= np.minimum(lightness / anchor, (100 - lightness) / (100 - anchor)).clip(0, 1) ** 0.6
    if usual > _CHROMATIC and full > _CHROMATIC:
        chroma *= np.clip(np.hypot(lab[..., 1], lab[..., 2]) / usual, 0.3, 1.25) ** 0.5
    texture = 0.25 if full > _CHROMATIC else 0.1
    a = chroma * np.cos(hue) + texture * (lab[..., 1] - middle_a)
    b = chroma * np.sin(hue) + texture * (lab[..., 2] - middle_b)
    return np.stack([lightness, a, b], axis=-1).astype(np.float32)


def _soft(lightness: Floats, low: float = 12, high: float = 90) -> Floats:
    """Lightness brought into 0 to 100 without a hard limit, which would flatten shadows and highlights."""
    dark = low * np.exp(np.minimum(lightness - low, 0) / low)
    light = 100 - (100 - high) * np.exp(-np.maximum(lightness - high, 0) / (100 - high))
    return np.where(lightness < low, dark, np.where(lightness > high, light, lightness)).astype(np.float32)
