"""Sources of rows that are drawn as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Final

from clipbench.data.dataset import Provenance
from clipbench.data.records import Record, RecordSource, holds
from clipbench.scenes.drawing import draw
from clipbench.scenes.scene import Scene
from clipbench.scenes.world import EDIT_CONCEPTS, Edit, Picture, World, edits
from clipbench.types import ImageRef

WORLD_VERSION: Final = 1  # increase if any picture or caption changes, so that results of two versions never mix
_KEPT: Final = 4096  # pictures, without pixels: each task of a run reads the same ones twice


def open_pictures(split: str = "test", size: int = 1000, seed: int = 0) -> RecordSource:
    """One row per picture, with its five captions; the field `tenth`, 0 to 9, selects a part of the rows.

    Raises:
        ConfigError: An unknown split, or a negative size or seed.
    """
    world = World(split, size, seed)
    return RecordSource(_provenance(f"{split}, {size} pictures, seed {seed}"), partial(_pictures, world), ("tenth",))


def open_edits(split: str = "test", pairs: int = 300, seed: int = 0) -> RecordSource:
    """One row per pair of pictures that differ in one object; the field `concept` names the changed property.

    Raises:
        ConfigError: An unknown split, or a negative seed.
    """
    World(split, pairs, seed)
    read = partial(_pairs, split, pairs, seed)
    return RecordSource(_provenance(f"{split}, {pairs} pairs a concept, seed {seed}"), read, ("concept",))


def _provenance(what: str) -> Provenance:
    return Provenance("scenes", f"scenes: {what}", None, f"scenes world {WORLD_VERSION}: {what}")


def _pictures(world: World, where: Mapping[str, object]) -> Iterator[Record]:
    for index in range(len(world)):
        if not holds(index % 10, where.get("tenth", index % 10)):
            continue
        picture = _picture(world.split, world.seed, index)
        images = partial(_refs, (picture.scene, picture.scene.key))
        yield Record(picture.scene.key, picture.captions, images, {"tenth": index % 10})


@lru_cache(_KEPT)
def _picture(split: str, seed: int, index: int) -> Picture:
    return World(split, index + 1, seed)[index]


def _pairs(split: str, pairs: int, seed: int, where: Mapping[str, object]) -> Iterator[Record]:
    for concept in EDIT_CONCEPTS:
        if where.get("concept", concept) == concept:
            for number, pair in enumerate(edits(split, pairs, concept, seed)):
                yield _pair_record(f"{concept}-{number}", pair)


def _pair_record(name: str, pair: Edit) -> Record:
    before, after = pair.before.key, f"{pair.before.key}-{pair.concept}"
    images = partial(_refs, (pair.before, before), (pair.after, after))
    return Record(name, (pair.caption_before, pair.caption_after), images, {"concept": pair.concept})


def _refs(*scenes: tuple[Scene, str]) -> tuple[ImageRef, ...]:
    return tuple(ImageRef(key, partial(draw, scene), content=partial(_content, scene)) for scene, key in scenes)


def _content(scene: Scene) -> bytes:
    """A picture is a function of its scene, and the scene's repr contains all of it."""
    return f"scenes {WORLD_VERSION}: {scene!r}".encode()
