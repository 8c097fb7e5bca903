"""Batches: which pairs a step sees, their substitutions and cells, tokenised and read ahead by a thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from clipbench.errors import ConfigError
from clipbench.models import Model, Tokens
from clipbench.training.gradient_cache import Batch, NegativeImages, Part
from clipbench.training.pairs import TrainingPairs
from clipbench.training.pools import interleaved, pools_of
from clipbench.training.recipe import Recipe
from clipbench.training.sampling import Ints, Uniforms, distinct, image_position_uniforms, position_uniforms

_AHEAD = 2  # batches that are made while one is trained on


class Images(Protocol):
    """The source of image batches: pixels, or features of a frozen tower."""

    def batch(self, indices: Ints) -> Tensor:
        """Return a row for each image, in order."""


@dataclass(frozen=True, slots=True)
class ProcessShard:
    """Which part of every batch this process computes.

    Attributes:
        process: This process's number.
        processes: The number of processes.
        micro_batch_size: Pairs that go through the towers at once; None: all of the share.
    """

    process: int = 0
    processes: int = 1
    micro_batch_size: int | None = None


class Batches:
    """The batches of a run, each a function of (seed, epoch, place in the epoch).

    Args:
        model: Tokenises.
        pairs: Captions and which image is theirs.
        images: Read by the numbers in ``pairs.image_of``.
        recipe: Batch size, seed, negatives.
        share: This process's part.

    Raises:
        DataError: There are fewer pairs than a batch takes.
        ConfigError: A batch has no room for the negative images.
    """

    def __init__(self, model: Model, pairs: TrainingPairs, images: Images, recipe: Recipe, share: ProcessShard) -> None:
        others = 0 if pairs.negative_images is None else pairs.negative_images.shape[1]
        if recipe.loss == "inbatch_replacement" and others >= recipe.batch_size:
            raise ConfigError(
                f"batch_size {recipe.batch_size}: {others} negative images a pair replace others of the batch: give a"
                " larger one, or another loss"
            )
        self._model, self._pairs, self._images, self._recipe, self._share = model, pairs, images, recipe, share
        self._pools = pools_of(pairs, recipe)
        self.steps_per_epoch = self._pools[0].steps_per_epoch
        self.steps = recipe.max_steps or recipe.epochs * self.steps_per_epoch
        self._epoch = -1
        self._weights: Uniforms | None = None  # of the pairs, in an epoch

    def from_step(self, first: int) -> Iterator[Batch]:
        """Yield the batches of the steps ``first … steps - 1``, a few of them made ahead."""
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            waiting: list[Future[Batch]] = []
            for step in range(first, self.steps):
                waiting.append(pool.submit(self.make, step))
                if len(waiting) > _AHEAD:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()

    def make(self, step: int) -> Batch:
        """Make one step's batch."""
        self._enter(step // self.steps_per_epoch)
        size, share = self._recipe.batch_size, self._share
        rows = interleaved([pool.batch(step) for pool in self._pools])
        per_process = size // share.processes
        mine = rows[share.process * per_process : (share.process + 1) * per_process]
        micro_batch_size = share.micro_batch_size or per_process
        made = [
            self._part(mine[start : start + micro_batch_size], (step * share.processes + share.process) * size + start)
            for start in range(0, per_process, micro_batch_size)
        ]
        images = self._pairs.contents(self._pairs.image_of[rows])
        mask = self._recipe.same_image == "mask"
        return Batch(
            parts=[part for part, _ in made],
            negative_positions=_positions(self._positions[rows]),
            valid=torch.cat([valid for _, valid in made]),
            ids=[self._pairs.ids[row] for row in mine],
            negative_images=self._negative_images(rows, mask=mask),
            same_image=torch.from_numpy(images[:, None] == images) if mask else None,
            weights=None if self._weights is None else torch.from_numpy(self._weights[rows]).float(),
        )

    def _enter(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        seed, samples, negatives = self._recipe.seed, len(self._pairs), self._recipe.negatives
        if negatives and self._pairs.negatives:
            self._drawn = self._pairs.negatives.draw(seed, epoch)
            self._weights = self._drawn.weights
        self._positions = position_uniforms(seed, epoch, samples, negatives)
        if self._pairs.negative_images is not None:
            self._image_positions = image_position_uniforms(seed, epoch, *self._pairs.negative_images.shape)
        self._epoch = epoch

    def _part(self, rows: Ints, number: int) -> tuple[Part, Tensor]:
        captions = [self._pairs.captions[row] for row in rows]
        negatives: list[str] = []
        there = np.ones((len(rows), 0), dtype=bool)
        if self._recipe.negatives and self._pairs.negatives:
            negatives, there = self._pairs.negatives.texts(rows, self._drawn.picks[rows])
        tokens = self._model.tokenize([*captions, *negatives])
        images = self._pairs.image_of[rows]
        if self._pairs.negative_images is not None:
            others = self._pairs.negative_images[rows]
            # The pair's own image stands for one that there is not: the loss does not see it.
            images = np.concatenate([images, np.where(others < 0, images[:, None], others).ravel()])
        pixels = self._images.batch(images)
        draw = (self._recipe.seed * 1_000_003 + number) % 2**63
        packed = self._model.packed_text.pack(tokens) if self._model.packed_text else None
        valid = self._differs(tokens, len(captions)) & torch.from_numpy(there)
        return Part(len(rows), pixels, tokens, packed, draw), valid

    def _negative_images(self, rows: Ints, *, mask: bool) -> NegativeImages | None:
        """Of the whole batch; with ``mask``, other pairs do not compete with their own image among them."""
        if self._pairs.negative_images is None:
            return None
        others = self._pairs.negative_images[rows]  # (B, m)
        contents, own = (self._pairs.contents(images) for images in (others, self._pairs.image_of[rows]))
        return NegativeImages(
            positions=_positions(self._image_positions[rows]),
            valid=torch.from_numpy((others >= 0) & (contents != own[:, None])),
            same_image=torch.from_numpy(contents[:, :, None] == own) if mask else None,
        )

    def _differs(self, tokens: Tokens, captions: int) -> Tensor:
        """``(captions, k)``: whether a negative still differs from its caption after both were cut to the context."""
        ids = next(iter(tokens.inputs.values()))  # (captions + captions·k, L)
        own = ids[:captions].repeat_interleave(self._recipe.negatives, dim=0)
        return (own != ids[captions:]).any(-1).reshape(captions, self._recipe.negatives)


def _positions(uniforms: Uniforms) -> Tensor:
    """Off-diagonal positions in each row (or column) of a batch, all different, ``(B, k)``."""
    size = len(uniforms)
    return torch.from_numpy(distinct(uniforms, np.full(size, size), taken=np.arange(size)))
