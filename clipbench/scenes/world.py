"""The synthetic dataset: pictures with captions, and pairs of pictures that differ in one object.

Nothing is stored: `world[i]` generates scene i from its address.
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
MOST_PICTURES: Final = 1_000_000
_EDIT_STREAMS: Final = {"object": 8, "color": 9, "size": 10}


@dataclass(frozen=True, slots=True)
class Picture:
    """A scene with its captions; pixels are drawn on demand."""

    scene: Scene
    captions: tuple[str, ...]

    def draw(self) -> Image.Image:
        """RGB, 128 x 128 pixels."""
        return draw(self.scene)


class World(Sequence[Picture]):
    """`size` pictures of a split.

    Args:
        split: "train", "val" or "test"; no two of them share a scene.
        size: number of pictures; the first pictures are the same for every size.
        seed: seed of the scenes.

    Raises:
        ConfigError: an unknown split, a size that is negative or absurd, or an impossible seed.
    """

    def __init__(self, split: str, size: int, seed: int = 0) -> None:
        if not 0 <= size <= MOST_PICTURES:
            raise ConfigError(f"scenes of size={size}: from 0 to {MOST_PICTURES:,} pictures can be drawn")
        dice_for(split, seed, 0, 0)  # fail now, not at the first picture
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
    """A picture before and after a change of one object, each with its caption.

    Attributes:
        concept: the changed property: "object", "color" or "size".
        before, after: scenes that differ in one element of `things`.
        thing: its index.
        caption_before, caption_after: sentences that differ in one keyword (and its article, if necessary);
            each is true of its own picture and false of the other.
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
        """Mode L, 255 in the object's pixels of either picture; elsewhere the pictures are equal."""
        return ImageChops.lighter(silhouette(self.before.things[self.thing]), silhouette(self.after.things[self.thing]))


def edit(scene: Scene, concept: EditConcept) -> Edit | None:
    """The edit of a scene, which is deterministic; None if no object can be edited.

    An object becomes another one of its super-category that is not in the picture, if there is one; a color any
    other color; a size the opposite size, at the same center. Overlapping objects keep their size, because "in
    front of" has to remain true.

    Raises:
        ConfigError: an unknown concept.
    """
    if concept not in EDIT_CONCEPTS:
        raise ConfigError(f"scenes have no {concept!r} edits: choose one of {', '.join(EDIT_CONCEPTS)}")
    dice = dice_for(scene.split, scene.seed, scene.index, _EDIT_STREAMS[concept])
    candidates = [index for index, thing in enumerate(scene.things) if concept != "size" or thing.depth == 0]
    if not candidates:
        return None
    index = dice.choice(candidates)
    old = scene.things[index]
    new = _changed(dice, scene, old, concept)
    after = replace(scene, things=(*scene.things[:index], new, *scene.things[index + 1 :]))
    original = claim_about(dice, scene, old, concept)
    edited = original.with_first(_edited_mention(original.mentions[0], new, concept))
    if not edited.holds(after) or edited.holds(scene, loosely=True) or original.holds(after, loosely=True):
        return None
    stream = _EDIT_STREAMS[concept] + len(_EDIT_STREAMS)
    sentences = [write(_sentence_dice(scene, stream), scene, made) for made in (original, edited)]
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
    """Both captions use the same random numbers and therefore the same wording."""
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


def _edited_mention(mention: Mention, thing: SceneObject, concept: EditConcept) -> Mention:
    if concept == "object":
        return replace(mention, name=thing.name)
    if concept == "color":
        return replace(mention, color=thing.color)
    return replace(mention, size=OPPOSITE_SIZE[mention.size or thing.size])
