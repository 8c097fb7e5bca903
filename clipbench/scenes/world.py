"""The world as data: pictures with captions, and pairs of pictures with one thing changed.

Nothing is stored. `world[i]` makes scene i from its address, and going through a world in order gives the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args, overload

from PIL import Image, ImageChops

from clipbench.errors import ConfigError
from clipbench.scenes.captions import captions, claim_about, write
from clipbench.scenes.claims import OPPOSITE_SIZE, Mention
from clipbench.scenes.drawing import draw, silhouette
from clipbench.scenes.rng import Dice
from clipbench.scenes.scene import COLORS, SIZES, SUPERCATEGORIES, Scene, SceneObject, dice_for, sample_scene

EditConcept = Literal["object", "color", "size"]
EDIT_CONCEPTS: Final[tuple[EditConcept, ...]] = get_args(EditConcept)
_EDIT_STREAMS: Final = {"object": 8, "color": 9, "size": 10}


@dataclass(frozen=True, slots=True)
class Picture:
    """A scene with its captions; the pixels are drawn when asked for."""

    scene: Scene
    captions: tuple[str, ...]

    def draw(self) -> Image.Image:
        """RGB, 128 x 128 pixels."""
        return draw(self.scene)


class World(Sequence[Picture]):
    """`size` pictures of a split.

    Args:
        split: "train", "val" or "test"; no two of them share a scene.
        size: number of pictures. A smaller world is the beginning of a larger one.
        seed: another seed is another world.

    Raises:
        ConfigError: an unknown split, or a negative size or seed.
    """

    def __init__(self, split: str, size: int, seed: int = 0) -> None:
        if size < 0:
            raise ConfigError(f"a world's size is not negative, but size={size}")
        dice_for(split, seed, 0, 0)  # an unknown split is told now, not at the first picture
        self.split, self.size, self.seed = split, size, seed

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> list[Picture]: ...
    def __getitem__(self, index: int | slice) -> Picture | list[Picture]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(self.size))]
        if not -self.size <= index < self.size:
            raise IndexError(f"picture {index} of {self.size}")
        scene = sample_scene(self.split, self.seed, index % self.size)
        return Picture(scene, captions(scene))


@dataclass(frozen=True, slots=True)
class Edit:
    """The very same picture before and after one thing was changed, each with its own caption.

    Attributes:
        concept: what was changed: "object", "color" or "size".
        before, after: equal but for one thing, at one place of `things`.
        thing: index of that thing.
        caption_before, caption_after: one sentence that differs in one keyword (and in its article, where that must
            follow); each is true of its own picture and false of the other.
    """

    concept: EditConcept
    before: Scene
    after: Scene
    thing: int
    caption_before: str
    caption_after: str

    def draw(self) -> tuple[Image.Image, Image.Image]:
        """Both pictures: RGB, 128 x 128 pixels."""
        return draw(self.before), draw(self.after)

    def mask(self) -> Image.Image:
        """Mode L, 255 wherever the thing is in either picture; outside it the pictures are equal."""
        return ImageChops.lighter(silhouette(self.before.things[self.thing]), silhouette(self.after.things[self.thing]))


def edit(scene: Scene, concept: EditConcept) -> Edit | None:
    """The edit of a scene, always the same one; None if nothing in it can be edited so.

    An object becomes another of its super-category where the picture does not show that already; a color any
    other; a size its opposite, at the same centre. A thing that overlaps another keeps its size, because the
    sentence "in front of" has to stay true.

    Raises:
        ConfigError: an unknown concept.
    """
    if concept not in EDIT_CONCEPTS:
        raise ConfigError(f"the scenes world has no {concept!r} edits: choose one of {', '.join(EDIT_CONCEPTS)}")
    dice = dice_for(scene.split, scene.seed, scene.index, _EDIT_STREAMS[concept])
    candidates = [index for index, thing in enumerate(scene.things) if concept != "size" or thing.depth == 0]
    if not candidates:
        return None
    index = dice.choice(candidates)
    old = scene.things[index]
    new = _changed(dice, scene, old, concept)
    after = replace(scene, things=(*scene.things[:index], new, *scene.things[index + 1 :]))
    said = claim_about(dice, scene, old, concept)
    told = said.with_first(_retold(said.mentions[0], new, concept))
    if not told.holds(after) or told.holds(scene, loosely=True) or said.holds(after, loosely=True):
        return None
    stream = _EDIT_STREAMS[concept] + len(_EDIT_STREAMS)
    sentences = [write(_sentence_dice(scene, stream), scene, made) for made in (said, told)]
    return Edit(concept, scene, after, index, sentences[0], sentences[1])


def edits(split: str, count: int, concept: EditConcept, seed: int = 0) -> Iterator[Edit]:
    """The first `count` edits of a concept, over the scenes of a split in order.

    Raises:
        ConfigError: an unknown split or concept.
    """
    index = found = 0
    while found < count:
        made = edit(sample_scene(split, seed, index), concept)
        index += 1
        if made is not None:
            found += 1
            yield made


def _sentence_dice(scene: Scene, stream: int) -> Dice:
    """Both captions are written with the same dice, so they choose the same words."""
    return dice_for(scene.split, scene.seed, scene.index, stream)


def _changed(dice: Dice, scene: Scene, thing: SceneObject, concept: EditConcept) -> SceneObject:
    if concept == "color":
        return replace(thing, color=dice.choice([color for color in COLORS if color != thing.color]))
    if concept == "size":
        size = OPPOSITE_SIZE[thing.size]
        return replace(thing, size=size, side=dice.between(*SIZES[size]))
    shown = {other.name for other in scene.things}
    family = next(group for group in SUPERCATEGORIES.values() if thing.name in group)
    names = [name for name in family if name not in shown]
    names = names or [name for group in SUPERCATEGORIES.values() for name in group if name not in shown]
    return replace(thing, name=dice.choice(names))


def _retold(mention: Mention, thing: SceneObject, concept: EditConcept) -> Mention:
    if concept == "object":
        return replace(mention, name=thing.name)
    if concept == "color":
        return replace(mention, color=thing.color)
    return replace(mention, size=OPPOSITE_SIZE[mention.size or thing.size])
