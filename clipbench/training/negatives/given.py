"""Hard negatives that come with the captions, as columns of a table or as the other half of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipbench.training.negatives.base import Draw
from clipbench.training.sampling import Ints, distinct, substitution_uniforms


@dataclass(frozen=True)
class GivenNegatives:
    """Hard negatives that are known beforehand; of those of a caption, k different ones are drawn for each epoch.

    A caption with no more than k gets all of them.

    Attributes:
        captions: The captions.
        given: Each caption's hard negatives, which differ from it and from each other.
        k: Hard negatives per caption.
    """

    captions: Sequence[str]
    given: Sequence[tuple[str, ...]]
    k: int

    def draw(self, seed: int, epoch: int) -> Draw:
        """Draw an epoch's hard negatives: ``picks`` is ``(n, k)``, numbers in ``given``, -1 where there is none."""
        options = np.array([len(texts) for texts in self.given], dtype=np.int64)
        uniforms = substitution_uniforms(seed, epoch, len(self.given), self.k)[:, 1:]
        drawn = distinct(uniforms, np.maximum(options, self.k))
        places = np.arange(self.k)
        return Draw(np.where((options > self.k)[:, None], drawn, np.where(places < options[:, None], places, -1)))

    def texts(self, rows: Ints, picks: Ints) -> tuple[list[str], NDArray[np.bool_]]:
        found = [
            self.given[row][pick] if pick >= 0 else self.captions[row]
            for row, numbers in zip(rows.tolist(), picks.tolist(), strict=True)
            for pick in numbers
        ]
        return found, picks >= 0

    def kept(self, rows: Sequence[int]) -> GivenNegatives:
        return GivenNegatives([self.captions[row] for row in rows], [self.given[row] for row in rows], self.k)

    def identity(self, row: int) -> object:
        return self.given[row]
