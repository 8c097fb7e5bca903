"""The contents of a picture: objects with a name, a color, a size and a position, on a backdrop.

A scene is a function of (split, seed, index) only, so a dataset has no stored state: any scene can be generated
in any order on any machine, and splits never share one.

Lengths are in *units*: a picture is `CANVAS` = 256 units wide and high, x to the right and y downwards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from clipbench.errors import ConfigError
from clipbench.scenes.rng import Dice

CANVAS: Final = 256

SPLITS: Final = ("train", "val", "test")

# Names as in the paper's Table 3, by COCO super-category; an object edit stays inside a super-category.
SUPERCATEGORIES: Final[dict[str, tuple[str, ...]]] = {
    "vehicle": ("car", "bus", "boat"),
    "outdoor": ("stop sign", "traffic light"),
    "animal": ("bird", "cat"),
    "accessory": ("umbrella", "suitcase"),
    "sports": ("kite", "skateboard"),
    "kitchen": ("bottle", "cup"),
    "food": ("banana", "apple", "donut"),
    "furniture": ("chair", "bed"),
    "indoor": ("book", "clock"),
}
NAMES: Final = tuple(name for group in SUPERCATEGORIES.values() for name in group)

COLORS: Final[dict[str, tuple[int, int, int]]] = {
    "blue": (36, 84, 214),
    "red": (214, 36, 40),
    "green": (36, 156, 60),
    "yellow": (246, 218, 44),
    "black": (28, 28, 32),
    "white": (246, 246, 246),
    "brown": (120, 72, 38),
    "gray": (138, 138, 144),
    "orange": (246, 136, 24),
}
SIZES: Final[dict[str, tuple[int, int]]] = {"large": (86, 94), "small": (46, 52)}  # range of the side, in units
BACKDROPS: Final = ("beach", "street", "field", "snow", "room", "water", "desert", "night")

_LATTICE: Final = (48, 80, 112, 144, 176, 208)  # centers, up to _JITTER: large objects fit into the picture
_JITTER: Final = 3
_APART: Final = 3  # minimum lattice steps between centers, in x or y, for any size: leaves room for a size edit
_TINT: Final = 12  # largest change of a color channel, so that shades vary
_SCENE_STREAM: Final = 0


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One object in a picture.

    Attributes:
        name: a COCO object name of `NAMES`, at most once in a scene.
        color: a color word of `COLORS`.
        size: "large" or "small".
        side: side in units of the object's square.
        x, y: center in units.
        depth: 1 in front of another object, -1 behind it, 0 if it overlaps none.
        tint: offset of the color's (R, G, B).
    """

    name: str
    color: str
    size: str
    side: int
    x: int
    y: int
    depth: int
    tint: tuple[int, int, int]

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The color it is painted in, 0-255 per channel."""
        red, green, blue = (
            max(0, min(255, base + shift)) for base, shift in zip(COLORS[self.color], self.tint, strict=True)
        )
        return red, green, blue


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture's contents; `things` in drawing order, farthest first."""

    split: str
    seed: int
    index: int
    backdrop: str
    things: tuple[SceneObject, ...]

    @property
    def key(self) -> str:
        """A unique name of the scene."""
        return f"scenes-{self.split}-{self.seed}-{self.index}"


def dice_for(split: str, seed: int, index: int, stream: int) -> Dice:
    """The random numbers of one scene; `stream` separates their uses (contents, backdrop, captions, edits).

    Raises:
        ConfigError: an unknown split, or a negative seed or index.
    """
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r} of scenes: choose one of {', '.join(SPLITS)}")
    if not (0 <= seed < 2**63 and 0 <= index < 2**63):
        raise ConfigError("seed and index of a scene must not be negative, and less than 2^63")
    return Dice(seed, SPLITS.index(split), index, stream)


def sample_scene(split: str, seed: int, index: int) -> Scene:
    """The scene at an address: one to three objects with distinct names.

    In about a third of the scenes with two or more objects, two overlap: one is in front of the other.
    """
    dice = dice_for(split, seed, index, _SCENE_STREAM)
    backdrop = dice.choice(BACKDROPS)
    names = dice.sample(NAMES, 1 + dice.weighted((8, 44, 48)))
    overlap = len(names) > 1 and dice.percent(36)
    while True:
        things = _place(dice, names, overlap)
        if things is not None:
            return Scene(split, seed, index, backdrop, things)


def scene_of_key(key: str) -> Scene | None:
    """The scene with a given `Scene.key`; None if the key is not of that form.

    Examples:
        >>> scene_of_key(sample_scene("test", 0, 12).key) == sample_scene("test", 0, 12)
        True
        >>> scene_of_key("000000000139.jpg")
    """
    match = re.fullmatch(rf"scenes-({'|'.join(SPLITS)})-([0-9]{{1,18}})-([0-9]{{1,18}})", key)
    return sample_scene(match[1], int(match[2]), int(match[3])) if match else None


def _place(dice: Dice, names: list[str], overlap: bool) -> tuple[SceneObject, ...] | None:
    """Objects at random places, or None if one did not fit."""
    taken: list[tuple[int, int]] = []
    placed: list[SceneObject] = []
    if overlap:
        placed, taken = _overlapping_pair(dice, names[0], names[1])
    for name in names[len(placed) :]:
        for _ in range(40):
            column, row = dice.below(len(_LATTICE)), dice.below(len(_LATTICE))
            if all(max(abs(column - x), abs(row - y)) >= _APART for x, y in taken):
                taken.append((column, row))
                placed.append(_at(dice, _thing(dice, name, 0), column, row))
                break
        else:
            return None
    return tuple(placed)


def _overlapping_pair(dice: Dice, name_behind: str, name_front: str) -> tuple[list[SceneObject], list[tuple[int, int]]]:
    """Two objects of the same size; the second partly hides the first and is lower, as closer objects are."""
    size = "large" if dice.percent(65) else "small"
    step = 2 if size == "large" else 1
    front, behind = _thing(dice, name_front, 1, size), _thing(dice, name_behind, -1, size)
    column, row = dice.below(len(_LATTICE) - step), dice.below(len(_LATTICE))
    columns = (column, column + step) if dice.percent(50) else (column + step, column)
    lower = front.side * dice.between(14, 26) // 100
    pair = [_at(dice, behind, columns[0], row), _at(dice, front, columns[1], row)]
    if row == len(_LATTICE) - 1:
        pair[0] = replace(pair[0], y=pair[0].y - lower)
    else:
        pair[1] = replace(pair[1], y=pair[1].y + lower)
    return pair, [(columns[0], row), (columns[1], row)]


def _at(dice: Dice, thing: SceneObject, column: int, row: int) -> SceneObject:
    x, y = (_LATTICE[slot] + dice.between(-_JITTER, _JITTER) for slot in (column, row))
    return replace(thing, x=x, y=y)


def _thing(dice: Dice, name: str, depth: int, size: str | None = None) -> SceneObject:
    """An object of random color and size, without a place."""
    size = size or dice.choice(tuple(SIZES))
    tint = (dice.between(-_TINT, _TINT), dice.between(-_TINT, _TINT), dice.between(-_TINT, _TINT))
    return SceneObject(name, dice.choice(tuple(COLORS)), size, dice.between(*SIZES[size]), 0, 0, depth, tint)
