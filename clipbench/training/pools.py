"""In which order pairs are trained on: the captions with a keyword, and each part of a mix beside them."""

from __future__ import annotations

import numpy as np

from clipbench.errors import DataError
from clipbench.training.pairs import TrainingPairs
from clipbench.training.recipe import NO_CONCEPT, Recipe
from clipbench.training.sampling import Ints, caption_uniforms, epoch_order
from clipbench.utils.text import pluralize


class Pool:
    """Pairs of which every batch takes the same number, in epochs of their own; an epoch's incomplete end is dropped.

    Args:
        pairs: All pairs of the run.
        rows: The numbers of those in the pool.
        count: How many of them a batch takes.
        recipe: Seed; whether an epoch has all captions of an image.
        number: Gives the pool an order of its own; 0 for the captions with a keyword.

    Attributes:
        steps_per_epoch: Batches until all were trained on.

    Raises:
        DataError: They are too few for one batch.
    """

    def __init__(self, pairs: TrainingPairs, rows: Ints, count: int, recipe: Recipe, number: int = 0) -> None:
        self._rows, self._count, self._seed, self._number = rows, count, recipe.seed, number
        self._by_image = _by_image(pairs.contents(pairs.image_of[rows])) if recipe.captions_per_image == "one" else None
        samples = len(rows) if self._by_image is None else len(self._by_image)
        if samples < count:
            what = pluralize(samples, "caption" if self._by_image is None else "image")
            own = "" if number or recipe.concepts == (NO_CONCEPT,) else " with a keyword"
            fewer = f"fewer than the {count} of a batch" if number else f"fewer than a batch of {count}"
            raise DataError(f"{pairs.place_of(number)}: {what}{own}, {fewer}: use a smaller batch_size or more data")
        self.steps_per_epoch = samples // count
        self._epoch = -1

    def batch(self, step: int) -> Ints:
        """The pairs of one step, ``(count,)``: a function of (seed, step)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._order, self._epoch = self._rows[self._drawn(epoch)], epoch
        return self._order[place * self._count : (place + 1) * self._count]

    def _drawn(self, epoch: int) -> Ints:
        """The places in ``rows`` in the order of an epoch: all, or one for each image."""
        if self._by_image is None:
            return epoch_order(self._seed, epoch, len(self._rows), self._number)
        images = len(self._by_image)
        picks = caption_uniforms(self._seed, epoch, images, self._number)
        drawn = [captions[int(pick * len(captions))] for captions, pick in zip(self._by_image, picks, strict=True)]
        return np.array(drawn)[epoch_order(self._seed, epoch, images, self._number)]


def pools_of(pairs: TrainingPairs, recipe: Recipe) -> list[Pool]:
    """The pools of a run: the captions with a keyword, then the parts of the recipe's mix.

    Raises:
        DataError: A pool has too few pairs for one batch.
    """
    counts = [recipe.own_pairs, *recipe.mixed_pairs.values()]
    return [Pool(pairs, pairs.rows_of(number), count, recipe, number) for number, count in enumerate(counts)]


def interleaved(parts: list[Ints]) -> Ints:
    """Rows of several pools in one batch, evenly spread, so that each process has about as many of each.

    Examples:
        >>> interleaved([np.array([1, 2, 3, 4]), np.array([8, 9])]).tolist()
        [1, 8, 2, 3, 9, 4]
    """
    places = np.concatenate([(np.arange(len(part)) + 0.5) / len(part) for part in parts])
    return np.concatenate(parts)[np.argsort(places, kind="stable")]


def _by_image(image_of: Ints) -> list[Ints]:
    """The places of each image's captions, in the order of the images."""
    order = np.argsort(image_of, kind="stable")
    _, starts = np.unique(image_of[order], return_index=True)
    return np.split(order, starts[1:])
