"""What a caption says of a scene, and whether it is true.

A caption is written from a `Claim`, never the other way round, so the world knows what each sentence means: it
can tell that a substituted caption is false of a picture before it lets the original be used.
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
_CLEARLY: Final = 60  # units between two centres before one is called left of or above the other
_OFF_MIDDLE: Final = 24  # units from the picture's middle line before a thing is "on the left"


@dataclass(frozen=True, slots=True)
class Mention:
    """A thing as a caption names it; what is None is left unsaid."""

    name: str
    color: str | None = None
    size: str | None = None

    def fits(self, thing: SceneObject) -> bool:
        """Whether the words are true of a thing."""
        return (
            self.name == thing.name
            and self.color in (None, thing.color)
            and (self.size is None or self.size in SIZE_WORDS[thing.size])
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """All that a caption says.

    Attributes:
        mentions: the things named, in the order of the sentence; all of them are in the picture.
        place: where the first is, a word of the concept location, or None. If it is a relation, then to the second.
        relative: whether `place` relates the first to the second.
        backdrop: whether the backdrop is named.
    """

    mentions: tuple[Mention, ...]
    place: str | None = None
    relative: bool = False
    backdrop: bool = False

    def holds(self, scene: Scene, *, loosely: bool = False) -> bool:
        """Whether all of it is true of a scene (the backdrop aside, which no concept varies).

        Args:
            scene: What the picture shows.
            loosely: Also where a place is so by a hair only, which nobody would say but nobody can deny.
        """
        found = [_find(scene, mention) for mention in self.mentions]
        things = [thing for thing in found if thing is not None]
        if len(things) < len(found) or len({thing.name for thing in things}) < len(things):
            return False
        if self.place is None:
            return True
        return is_at(self.place, things[0], things[1] if self.relative else None, loosely=loosely)

    def with_first(self, mention: Mention) -> Claim:
        """The same claim about another first thing."""
        return replace(self, mentions=(mention, *self.mentions[1:]))


def _find(scene: Scene, mention: Mention) -> SceneObject | None:
    return next((thing for thing in scene.things if mention.fits(thing)), None)


def is_at(place: str, thing: SceneObject, other: SceneObject | None, *, loosely: bool = False) -> bool:
    """Whether a thing is clearly at a place of the picture or, with another thing, in a relation to it."""
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
    overlapping = thing.depth * other.depth < 0  # of two that overlap one says which is in front
    return not overlapping and along >= _CLEARLY and along == max(abs(across), abs(down))


def _offset(place: str, across: int, down: int) -> int:
    """How far, in units, an offset points in the direction of a place word."""
    return {"left": -across, "right": across, "above": -down, "over": -down, "below": down, "under": down}[place]


def places(scene: Scene, thing: SceneObject, other: SceneObject | None) -> tuple[str, ...]:
    """Every place word that is true of a thing (in relation to the other); none if nothing is clear."""
    if other is None:
        words: tuple[str, ...] = ("left", "right", "foreground", "background", "front", "back")
    else:
        words = ("left", "right", "above", "below", "over", "under", "in front of", "behind")
    return tuple(word for word in words if is_at(word, thing, other))
