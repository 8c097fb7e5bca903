"""Batches: which pairs a step sees, their substitutions and cells, tokenised and read ahead by a thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from clipbench.errors import DataError
from clipbench.models import Model, Tokens
from clipbench.training.gradient_cache import Batch, Part
from clipbench.training.pairs import TrainingPairs
from clipbench.training.recipe import Recipe
from clipbench.training.sampling import Ints, distinct, epoch_order, position_uniforms, substitution_uniforms
from clipbench.utils.text import pluralize

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
        DataError: There are fewer pairs than ``batch_size``.
    """

    def __init__(self, model: Model, pairs: TrainingPairs, images: Images, recipe: Recipe, share: ProcessShard) -> None:
        if len(pairs) < recipe.batch_size:
            raise DataError(
                f"{pairs.provenance.location}: {pluralize(len(pairs), 'caption')} with a keyword, fewer than a batch of"
                f" {recipe.batch_size}: use a smaller batch_size or more data"
            )
        self._model, self._pairs, self._images, self._recipe, self._share = model, pairs, images, recipe, share
        self.steps_per_epoch = len(pairs) // recipe.batch_size
        self.steps = recipe.max_steps or recipe.epochs * self.steps_per_epoch
        self._epoch = -1

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
        epoch, place = divmod(step, self.steps_per_epoch)
        self._enter(epoch)
        size, share = self._recipe.batch_size, self._share
        rows = self._order[place * size : (place + 1) * size]
        positions = distinct(self._positions[rows], np.full(size, size), taken=np.arange(size))
        per_process = size // share.processes
        mine = rows[share.process * per_process : (share.process + 1) * per_process]
        micro_batch_size = share.micro_batch_size or per_process
        made = [
            self._part(mine[start : start + micro_batch_size], (step * share.processes + share.process) * size + start)
            for start in range(0, per_process, micro_batch_size)
        ]
        return Batch(
            parts=[part for part, _ in made],
            negative_positions=torch.from_numpy(positions),
            valid=torch.cat([valid for _, valid in made]),
            ids=[self._pairs.ids[row] for row in mine],
        )

    def _enter(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        seed, samples, negatives = self._recipe.seed, len(self._pairs), self._recipe.negatives
        self._order = epoch_order(seed, epoch, samples)
        self._substitutions = substitution_uniforms(seed, epoch, samples, negatives)
        self._positions = position_uniforms(seed, epoch, samples, negatives)
        self._epoch = epoch

    def _part(self, rows: Ints, number: int) -> tuple[Part, Tensor]:
        captions = [self._pairs.captions[row][0].caption for row in rows]
        negatives = self._pairs.substitutes(rows, self._substitutions[rows]) if self._recipe.negatives else []
        tokens = self._model.tokenize([*captions, *negatives])
        pixels = self._images.batch(self._pairs.image_of[rows])
        draw = (self._recipe.seed * 1_000_003 + number) % 2**63
        packed = self._model.packed_text.pack(tokens) if self._model.packed_text else None
        return Part(pixels, tokens, packed, draw), self._differs(tokens, len(captions))

    def _differs(self, tokens: Tokens, captions: int) -> Tensor:
        """``(captions, k)``: whether a negative still differs from its caption after both were cut to the context."""
        ids = next(iter(tokens.inputs.values()))  # (captions + captions·k, L)
        own = ids[:captions].repeat_interleave(self._recipe.negatives, dim=0)
        return (own != ids[captions:]).any(-1).reshape(captions, self._recipe.negatives)
