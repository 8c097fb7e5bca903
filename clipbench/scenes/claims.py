"""The meaning of a caption, and whether it is true of a scene.

A caption is written from a `Claim`, so the meaning of each sentence is known: before the original is used, it is
verified that the caption with a substituted word is false of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from clipbench.scenes.scene import CANVAS, Scene, SceneObject

SIZE_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "large": ("large", "large", "big", "huge"),
    "small": ("small", "small", "little", "tiny"),
}
OPPOSITE_SIZE: Final[dict[str, str]] = {
    "large": "small",
    "small": "large",
    "big": "little",
    "little": "big",
    "huge": "tiny",
    "tiny": "huge",
}
_CLEARLY: Final = 60  # minimum units between two centers for one to be described as left of or above the other
_OFF_MIDDLE: Final = 24  # minimum units from the picture's middle line for an object to be "on the left"


@dataclass(frozen=True, slots=True)
class Mention:
    """An object as a caption names it; attributes that are None are not mentioned."""

    name: str
    color: str | None = None
    size: str | None = None

    def fits(self, thing: SceneObject) -> bool:
        """Whether the words are true of an object."""
        return (
            self.name == thing.name
            and self.color in (None, thing.color)
            and (self.size is None or self.size in SIZE_WORDS[thing.size])
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """The content of a caption.

    Attributes:
        mentions: the objects named, in the order of the sentence; all of them are in the picture.
        place: place of the first object, a word of the concept location, or None. A relation is to the second object.
        relative: whether `place` is a relation.
        backdrop: whether the backdrop is named.
    """

    mentions: tuple[Mention, ...]
    place: str | None = None
    relative: bool = False
    backdrop: bool = False

    def holds(self, scene: Scene, *, loosely: bool = False) -> bool:
        """Whether the claim is true of a scene, apart from the backdrop, which no concept varies.

        Args:
            scene: The contents of the picture.
            loosely: Accept a place that is true by a small margin, too small for a caption to mention it.
        """
        found = [_find(scene, mention) for mention in self.mentions]
        things = [thing for thing in found if thing is not None]
        if len(things) < len(found) or len({thing.name for thing in things}) < len(things):
            return False
        if self.place is None:
            return True
        return is_at(self.place, things[0], things[1] if self.relative else None, loosely=loosely)

    def with_first(self, mention: Mention) -> Claim:
        """The same claim with another first object."""
        return replace(self, mentions=(mention, *self.mentions[1:]))


def _find(scene: Scene, mention: Mention) -> SceneObject | None:
    return next((thing for thing in scene.things if mention.fits(thing)), None)


def is_at(place: str, thing: SceneObject, other: SceneObject | None, *, loosely: bool = False) -> bool:
    """Whether an object is clearly at a place of the picture or, with another object, in a relation to it."""
    if place in ("in front of", "behind"):
        side = 1 if place == "in front of" else -1
        return other is not None and thing.depth == side and other.depth == -side
    if place in ("foreground", "front"):
        return thing.depth == 1
    if place in ("background", "back"):
        return thing.depth == -1
    across, down = (thing.x - other.x, thing.y - other.y) if other else (thing.x - CANVAS // 2, thing.y - CANVAS // 2)
    along = _offset(place, across, down)
    if loosely:
        return along > 0
    if other is None:
        return along >= _OFF_MIDDLE
    overlapping = thing.depth * other.depth < 0  # overlapping objects are described as in front or behind
    return not overlapping and along >= _CLEARLY and along == max(abs(across), abs(down))


def _offset(place: str, across: int, down: int) -> int:
    """The component, in units, of an offset in the direction of a place word."""
    return {"left": -across, "right": across, "above": -down, "over": -down, "below": down, "under": down}[place]


def places(scene: Scene, thing: SceneObject, other: SceneObject | None) -> tuple[str, ...]:
    """All place words that are clearly true of an object (in relation to the other); may be empty."""
    if other is None:
        words: tuple[str, ...] = ("left", "right", "foreground", "background", "front", "back")
    else:
        words = ("left", "right", "above", "below", "over", "under", "in front of", "behind")
    return tuple(word for word in words if is_at(word, thing, other))
