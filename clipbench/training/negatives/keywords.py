"""Keywords exchanged for others of their concept (§3.1 of the paper), drawn uniformly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clipbench.concepts import Variants
from clipbench.training.negatives.base import Draw
from clipbench.training.sampling import Ints, distinct, substitution_uniforms


@dataclass(frozen=True)
class ExchangedKeywords:
    """Each caption with one keyword replaced.

    Where a caption holds keywords of several concepts, one of the concepts is drawn first, so that a concept with many
    keywords does not crowd the others out.

    Attributes:
        variants: For each caption its variants, one entry for each concept that it holds a keyword of.
        k: Hard negatives per caption, at most as many as a keyword has replacements.
    """

    variants: list[tuple[Variants, ...]]
    k: int

    @cached_property
    def _options(self) -> tuple[Ints, Ints, Ints]:
        """Entries of each caption; where they start among all entries; the replacements of each entry."""
        entries = np.array([len(entry) for entry in self.variants], dtype=np.int64)
        sizes = np.array([len(one.replacements) for entry in self.variants for one in entry], dtype=np.int64)
        return entries, np.cumsum(entries) - entries, sizes

    def draw(self, seed: int, epoch: int) -> Draw:
        """Draw concept and replacements: ``picks`` is ``(n, 1 + k)``, the entry and the numbers of its replacements."""
        entries, starts, sizes = self._options
        uniforms = substitution_uniforms(seed, epoch, len(self.variants), self.k)
        chosen = (uniforms[:, 0] * entries).astype(np.int64)
        picks = distinct(uniforms[:, 1:], sizes[starts + chosen])
        return Draw(np.concatenate([chosen[:, None], picks], axis=1))

    def texts(self, rows: Ints, picks: Ints) -> tuple[list[str], NDArray[np.bool_]]:
        found = [
            self.variants[row][entry][1 + pick]  # -1, for none, is the caption itself
            for row, (entry, *numbers) in zip(rows.tolist(), picks.tolist(), strict=True)
            for pick in numbers
        ]
        return found, picks[:, 1:] >= 0

    def kept(self, rows: Sequence[int]) -> ExchangedKeywords:
        return ExchangedKeywords([self.variants[row] for row in rows], self.k)

    def identity(self, row: int) -> object:
        return [(entry.keyword, entry.start, entry.replacements) for entry in self.variants[row]]
