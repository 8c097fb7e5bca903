"""Backgrounds of scenes: eight kinds of place, each with its own shapes and random variation.

The shapes here (trees, clouds, rocks, waves, lamps) are distractors: captions may name
the place, but never these shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from PIL import ImageDraw

from clipbench.scenes.rng import Dice
from clipbench.scenes.scene import CANVAS

Rgb = tuple[int, int, int]
Pen = ImageDraw.ImageDraw


def paint_backdrop(pen: Pen, kind: str, dice: Dice) -> None:
    """Fill the canvas with a kind of backdrop (one of `scene.BACKDROPS`)."""
    _PAINTERS[kind](pen, dice)


def _shift(dice: Dice, color: Rgb, by: int = 14) -> Rgb:
    shift = dice.between(-by, by)
    red, green, blue = (max(0, min(255, channel + shift + dice.between(-6, 6))) for channel in color)
    return red, green, blue


def _planes(pen: Pen, dice: Dice, sky: Rgb, ground: Rgb) -> int:
    """Paint sky and ground; return the horizon, in units from the top."""
    horizon = dice.between(88, 168)
    pen.rectangle((0, 0, CANVAS, horizon), fill=_shift(dice, sky))
    pen.rectangle((0, horizon, CANVAS, CANVAS), fill=_shift(dice, ground))
    return horizon


def _clouds(pen: Pen, dice: Dice, horizon: int, color: Rgb) -> None:
    for _ in range(dice.below(4)):
        x, y, width = dice.below(CANVAS), dice.below(horizon), dice.between(20, 56)
        pen.ellipse((x, y, x + width, y + width // 3), fill=color)
        pen.ellipse((x + width // 4, y - width // 6, x + width * 3 // 4, y + width // 4), fill=color)


def _trees(pen: Pen, dice: Dice, horizon: int, crown: Rgb) -> None:
    for _ in range(dice.below(4)):
        x, height = dice.below(CANVAS), dice.between(18, 44)
        pen.rectangle((x - 2, horizon - height // 2, x + 2, horizon), fill=(92, 70, 54))
        pen.polygon(
            ((x - height // 3, horizon - height // 4), (x + height // 3, horizon - height // 4), (x, horizon - height)),
            fill=crown,
        )


def _specks(pen: Pen, dice: Dice, top: int, color: Rgb, wide: int, high: int) -> None:
    for _ in range(dice.between(4, 12)):
        x, y = dice.below(CANVAS), dice.between(top, CANVAS)
        pen.ellipse((x, y, x + dice.between(2, wide), y + dice.between(2, high)), fill=color)


def _beach(pen: Pen, dice: Dice) -> None:
    horizon = _planes(pen, dice, (176, 214, 236), (226, 206, 156))
    pen.rectangle((0, horizon, CANVAS, horizon + dice.between(14, 34)), fill=_shift(dice, (82, 152, 186)))
    _clouds(pen, dice, horizon, (240, 244, 248))
    _specks(pen, dice, horizon + 40, (204, 178, 124), 6, 4)


def _street(pen: Pen, dice: Dice) -> None:
    horizon = _planes(pen, dice, (204, 212, 222), (104, 104, 110))
    x = -dice.below(30)
    while x < CANVAS:
        width, height = dice.between(26, 60), dice.between(20, 80)
        wall = _shift(dice, (162, 146, 140), 30)
        pen.rectangle((x, horizon - height, x + width, horizon), fill=wall)
        for window in range(x + 6, x + width - 6, 12):
            pen.rectangle((window, horizon - height + 6, window + 5, horizon - height + 13), fill=(206, 208, 196))
        x += width
    line = dice.between(horizon + 30, CANVAS - 10)
    for dash in range(dice.below(30), CANVAS, 48):
        pen.rectangle((dash, line, dash + 24, line + 4), fill=(210, 210, 206))


def _field(pen: Pen, dice: Dice) -> None:
    horizon = _planes(pen, dice, (168, 206, 240), (134, 178, 92))
    _clouds(pen, dice, horizon, (240, 244, 248))
    _trees(pen, dice, horizon, (74, 118, 70))
    _specks(pen, dice, horizon + 6, (110, 154, 74), 5, 8)


def _snow(pen: Pen, dice: Dice) -> None:
    horizon = _planes(pen, dice, (190, 200, 216), (232, 238, 244))
    peak = dice.below(CANVAS)
    pen.polygon(
        ((peak - 70, horizon), (peak, horizon - dice.between(30, 80)), (peak + 70, horizon)), fill=(160, 172, 192)
    )
    _trees(pen, dice, horizon, (84, 108, 104))
    _specks(pen, dice, 0, (250, 252, 254), 4, 4)


def _room(pen: Pen, dice: Dice) -> None:
    horizon = _planes(pen, dice, (222, 204, 182), (158, 122, 92))
    x, y = dice.below(CANVAS - 60), dice.between(8, 40)
    pen.rectangle((x, y, x + 52, y + 44), fill=(246, 240, 228))
    pen.rectangle((x + 5, y + 5, x + 47, y + 39), fill=_shift(dice, (170, 196, 212), 30))
    pen.rectangle((0, horizon, CANVAS, horizon + 5), fill=(188, 164, 140))
    for board in range(horizon + 20, CANVAS, 24):
        pen.rectangle((0, board, CANVAS, board + 2), fill=(138, 104, 78))


def _water(pen: Pen, dice: Dice) -> None:
    horizon = _planes(pen, dice, (206, 224, 236), (72, 134, 166))
    _clouds(pen, dice, horizon, (244, 246, 250))
    for _ in range(dice.between(6, 14)):
        x, y, width = dice.below(CANVAS), dice.between(horizon + 4, CANVAS), dice.between(14, 44)
        pen.rectangle((x, y, x + width, y + 3), fill=(118, 172, 196))


def _desert(pen: Pen, dice: Dice) -> None:
    horizon = _planes(pen, dice, (244, 222, 186), (212, 160, 104))
    for _ in range(dice.between(1, 3)):
        x, width = dice.below(CANVAS), dice.between(40, 110)
        pen.ellipse(
            (x - width, horizon - width // 4, x + width, horizon + width // 4), fill=_shift(dice, (204, 150, 96))
        )
    pen.rectangle((0, horizon + 28, CANVAS, CANVAS), fill=_shift(dice, (212, 160, 104), 6))
    _specks(pen, dice, horizon + 30, (176, 128, 84), 9, 5)


def _night(pen: Pen, dice: Dice) -> None:
    horizon = _planes(pen, dice, (44, 46, 82), (62, 62, 78))
    for _ in range(dice.between(6, 18)):
        x, y = dice.below(CANVAS), dice.below(horizon)
        pen.rectangle((x, y, x + 2, y + 2), fill=(228, 226, 200))
    x, y = dice.below(CANVAS), dice.below(50)
    pen.ellipse((x, y, x + 22, y + 22), fill=(236, 230, 196))
    _trees(pen, dice, horizon, (36, 48, 56))


_PAINTERS: Final[dict[str, Callable[[Pen, Dice], None]]] = {
    "beach": _beach,
    "street": _street,
    "field": _field,
    "snow": _snow,
    "room": _room,
    "water": _water,
    "desert": _desert,
    "night": _night,
}
