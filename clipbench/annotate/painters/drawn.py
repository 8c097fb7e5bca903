"""Repaints an object of a drawn scene, exactly: the scene with another object, color or size is drawn again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

import numpy as np

from clipbench.annotate.masks import Mask
from clipbench.annotate.painters.base import Cancelled, IsCancelled, OnStep, Painted, PaintRequest
from clipbench.errors import ConfigError, DataError
from clipbench.scenes.claims import SIZE_WORDS, Mention
from clipbench.scenes.drawing import draw, silhouette
from clipbench.scenes.rng import Dice
from clipbench.scenes.scene import COLORS, NAMES, SIZES, Scene, SceneObject, scene_of_key
from clipbench.scenes.world import EDIT_CONCEPTS
from clipbench.types import ImageRef

_SIZE_OF: Final = {word: size for size, words in SIZE_WORDS.items() for word in words}
_TINT: Final = 12  # as scenes are tinted
_STRIDE: Final = 4  # units: seeds in a row differ visibly, and all sides are reached
_PAINT_STREAM: Final = 64  # far from those of scenes


class DrawnPainter:
    """Paints scenes only. A candidate's mask holds every pixel that can change: the object's in either picture.

    Seeds vary what the caption leaves open: the shade of a new color or object, the exact size within a size.
    """

    name = "drawn"

    def check(self, concept: str) -> None:
        if concept not in EDIT_CONCEPTS:
            raise ConfigError(f"inpainter drawn cannot change {concept}: choose one of {', '.join(EDIT_CONCEPTS)}")

    def details(self) -> dict[str, object]:
        return {"inpainter": self.name}

    def seconds_per_candidate(self) -> float | None:
        return 0.05

    def paint(self, request: PaintRequest, on_step: OnStep, cancelled: IsCancelled) -> Painted:
        self.check(request.concept)
        if cancelled():
            raise Cancelled
        scene = scene_of(request.source, "use inpainter classic, or a diffusion model")
        before = draw(scene)
        if request.image.size != before.size or np.any(np.asarray(request.image) != np.asarray(before)):
            raise DataError(f"{scene.key} is drawn differently by this version of clipbench: use inpainter classic")
        index = _masked_object(scene, request)
        new = _changed(scene.things[index], request)
        after = replace(scene, things=(*scene.things[:index], new, *scene.things[index + 1 :]))
        painted = draw(after)
        on_step(1, 1)
        changed = np.any(np.asarray(before) != np.asarray(painted), axis=-1)
        return Painted(painted, visible(scene, index) | visible(after, index) | changed)


def scene_of(source: ImageRef | None, instead: str) -> Scene:
    """The scene of an image.

    Raises:
        DataError: It is a photograph; ends in what to do `instead`.
    """
    scene = None if source is None else scene_of_key(source.key)
    if scene is None:
        what = "this picture" if source is None else f"{source.key[:100]}"
        raise DataError(f"{what} is not a drawn scene: {instead}")
    return scene


def visible(scene: Scene, index: int) -> Mask:
    """The mask, (H, W), of an object without what is in front of it."""
    mask = np.asarray(silhouette(scene.things[index])) > 0
    for nearer in scene.things[index + 1 :]:
        mask = mask & ~(np.asarray(silhouette(nearer)) > 0)
    return mask


def _masked_object(scene: Scene, request: PaintRequest) -> int:
    """The object with most pixels in the mask, among those that the keyword is true of."""
    covered = [int((visible(scene, index) & request.mask).sum()) for index in range(len(scene.things))]
    if not any(covered):
        raise DataError("the mask covers no object of the scene: paint it over one")
    fitting = [_mention(thing.name, request).fits(thing) for thing in scene.things]
    best = max(range(len(covered)), key=lambda index: (fitting[index] and covered[index] > 0, covered[index]))
    if not fitting[best]:
        thing = scene.things[best]
        raise DataError(
            f"the mask covers the {thing.size} {thing.color} {thing.name}, which is not {request.keyword!r}: "
            "paint it over the object that the caption means"
        )
    return best


def _mention(name: str, request: PaintRequest) -> Mention:
    """What the keyword says of an object."""
    word = request.keyword
    if request.concept == "object":
        return Mention(word)
    return Mention(name, color=word) if request.concept == "color" else Mention(name, size=word)


def _changed(thing: SceneObject, request: PaintRequest) -> SceneObject:
    dice = Dice(request.seed % 2**63, 0, 0, _PAINT_STREAM)
    tint = (dice.between(-_TINT, _TINT), dice.between(-_TINT, _TINT), dice.between(-_TINT, _TINT))
    word = request.replacement
    if request.concept == "color":
        return replace(thing, color=_known(word, COLORS, "color"), tint=tint)
    if request.concept == "object":
        return replace(thing, name=_known(word, NAMES, "object"), tint=tint)
    size = _SIZE_OF[_known(word, _SIZE_OF, "size")]
    if thing.size == size:
        raise DataError(f"the {thing.name} is {size} already: mask the object that the caption means")
    if thing.depth != 0:
        raise DataError(f"the {thing.name} overlaps another object and has to keep its size: skip this picture")
    low, high = SIZES[size]
    return replace(thing, size=size, side=low + _STRIDE * request.seed % (high - low + 1))


def _known(word: str, words: Collection[str], what: str) -> str:
    if word not in words:
        raise ConfigError(f"scenes know no {what} {word[:60]!r}: choose one of {', '.join(words)}")
    return word
