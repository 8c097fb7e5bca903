"""Captions without hard negatives that are trained on beside those with a keyword (``Recipe.mix``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clipbench.concepts import Concept
from clipbench.data import Source
from clipbench.errors import ConfigError, DataError
from clipbench.evaluation.options import Progress, ignore_progress
from clipbench.training.datasets import open_training_data
from clipbench.training.gathering import gather_captions
from clipbench.training.negatives import Draw, Negatives
from clipbench.training.options import FinetuneOptions
from clipbench.training.pairs import TrainingPairs
from clipbench.training.recipe import Recipe
from clipbench.training.sampling import Ints
from clipbench.types import ImageRef
from clipbench.utils.digest import digest

GENERAL: Final = "general"
"""The part of a mix that has the training data's own captions without a keyword."""


@dataclass(frozen=True)
class OfTheFirst:
    """The hard negatives of the first captions; the captions of a mix, which come after them, have none.

    Attributes:
        first: The hard negatives of the first captions.
        count: How many captions these are.
        others: The further captions.
    """

    first: Negatives
    count: int
    others: Sequence[str]

    @property
    def k(self) -> int:
        """Hard negatives per caption."""
        return self.first.k

    def draw(self, seed: int, epoch: int) -> Draw:
        """Draw for the first captions what they would be given without a mix."""
        drawn, more = self.first.draw(seed, epoch), len(self.others)
        picks = np.concatenate([drawn.picks, np.zeros((more, *drawn.picks.shape[1:]), dtype=drawn.picks.dtype)])
        weights = None if drawn.weights is None else np.concatenate([drawn.weights, np.ones(more)])
        return Draw(picks, weights)

    def texts(self, rows: Ints, picks: Ints) -> tuple[list[str], NDArray[np.bool_]]:
        """As the protocol says: a caption of a mix stands for each hard negative that it has not."""
        own, k = rows < self.count, self.k
        valid = np.zeros((len(rows), k), dtype=bool)
        found, valid[own] = self.first.texts(rows[own], picks[own])
        waiting = iter(found)
        texts = [
            next(waiting) if mine else self.others[row - self.count]
            for row, mine in zip(rows.tolist(), own.tolist(), strict=True)
            for _ in range(k)
        ]
        return texts, valid

    def kept(self, rows: Sequence[int]) -> OfTheFirst:
        """The hard negatives of some of the captions only."""
        first = [row for row in rows if row < self.count]
        others = [self.others[row - self.count] for row in rows if row >= self.count]
        return OfTheFirst(self.first.kept(first), len(first), others)

    def identity(self, row: int) -> object:
        """What decides on a caption's hard negatives."""
        return self.first.identity(row) if row < self.count else []


def read_mix(
    train_data: str,
    concepts: Sequence[Concept],
    recipe: Recipe,
    options: FinetuneOptions,
    on_progress: Progress = ignore_progress,
) -> dict[str, TrainingPairs]:
    """Read the parts of the recipe's mix, by name.

    Raises:
        ConfigError: A part names no data set.
        DataError: A part has no captions, or cannot be read.
    """
    return {
        name: gather_captions(
            _open(train_data if name == GENERAL else name, options.data),
            concepts if name == GENERAL else (),
            allow_missing=options.allow_missing,
            limit=options.limit,
            on_progress=partial(on_progress, f"captions of {name}"),
        )
        for name in recipe.mix
    }


def data_fingerprint(train_data: str, mix: Iterable[str], data: Mapping[str, str]) -> str:
    """Changes with the content of what is trained on; without other data sets in the mix, the training data's own.

    Raises:
        ConfigError, DataError: Some of it cannot be opened.
    """
    own = open_training_data(train_data, data).provenance.fingerprint
    others = {name: _open(name, data).provenance.fingerprint for name in mix if name != GENERAL}
    return digest([own, others]) if others else own


def _open(name: str, data: Mapping[str, str]) -> Source:
    try:
        return open_training_data(name, data)
    except (ConfigError, DataError) as error:
        error.args = (re.sub("^train_data ", "`mix` ", str(error)),)
        raise


def mixed_facts(pairs: TrainingPairs) -> dict[str, dict[str, object]]:
    """What the run's record says of each part of a mix."""
    return {
        name: {
            "pairs": len(pairs.rows_of(number)),
            "revision": provenance.revision,
            "fingerprint": provenance.fingerprint,
        }
        for number, (name, provenance) in enumerate(pairs.mixed.items(), 1)
    }


def joined(own: TrainingPairs, mix: Mapping[str, TrainingPairs]) -> TrainingPairs:
    """Put the parts of a mix after the captions with a keyword; images that they share are one.

    Args:
        own: The captions with a keyword.
        mix: The parts by name, in the order of the recipe; each without hard negatives.
    """
    if not mix:
        return own
    images, numbers = list(own.images), {ref.key: place for place, ref in enumerate(own.images)}
    image_of, pools = [own.image_of], [np.zeros(len(own), dtype=np.int64)]
    for number, part in enumerate(mix.values(), 1):
        places = np.array([_place(ref, part, own, images, numbers) for ref in part.images], dtype=np.int64)
        image_of.append(places[part.image_of])
        pools.append(np.full(len(part), number))
    captions = [caption for part in mix.values() for caption in part.captions]
    further = own.negative_images
    return replace(
        own,
        images=images,
        image_of=np.concatenate(image_of),
        captions=[*own.captions, *captions],
        ids=[*own.ids, *(f"{name}: {row}" for name, part in mix.items() for row in part.ids)],
        negatives=own.negatives and OfTheFirst(own.negatives, len(own), captions),
        negative_images=None if further is None else np.pad(further, ((0, len(captions)), (0, 0)), constant_values=-1),
        left_out=own.left_out + sum(part.left_out for part in mix.values()),
        pools=np.concatenate(pools),
        mixed={name: part.provenance for name, part in mix.items()},
    )


def _place(
    ref: ImageRef, part: TrainingPairs, own: TrainingPairs, images: list[ImageRef], numbers: dict[str, int]
) -> int:
    """The number of an image among ``images``, which it is added to if it is new."""
    # Keys are names within a data set: those of another one get its digest before them.
    fingerprint = part.provenance.fingerprint
    key = ref.key if fingerprint == own.provenance.fingerprint else f"{fingerprint[:12]}/{ref.key}"
    if key not in numbers:
        numbers[key] = len(images)
        images.append(replace(ref, key=key))
    return numbers[key]
