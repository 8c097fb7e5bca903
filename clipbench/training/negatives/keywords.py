"""Keywords exchanged for others of their concept (§3.1 of the paper), drawn uniformly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clipbench.concepts import Variants
from clipbench.training.negatives.articles import fit_article
from clipbench.training.negatives.base import Draw
from clipbench.training.sampling import Ints, distinct, substitution_uniforms

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` since Python 3.11


@dataclass(frozen=True)
class ExchangedKeywords:
    """Each caption with one keyword replaced.

    Where a caption holds keywords of several concepts, one of the concepts is drawn first, so that a concept with many
    keywords does not crowd the others out.

    Attributes:
        variants: For each caption its variants, one entry for each concept that it holds a keyword of.
        k: Hard negatives per caption, at most as many as a keyword has replacements.
        mend_articles: An indefinite article before the keyword is made to fit its replacement.
    """

    variants: list[tuple[Variants, ...]]
    k: int
    mend_articles: bool = False

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
            self._text(self.variants[row][entry], pick)
            for row, (entry, *numbers) in zip(rows.tolist(), picks.tolist(), strict=True)
            for pick in numbers
        ]
        return found, picks[:, 1:] >= 0

    def _text(self, variants: Variants, pick: int) -> str:
        if pick < 0 or not self.mend_articles:
            return variants[1 + pick]  # -1, for none, is the caption itself
        before, word = variants.caption[: variants.start], variants.replacements[pick]
        return fit_article(before, word) + word + variants.caption[variants.end :]

    def kept(self, rows: Sequence[int]) -> Self:
        return replace(self, variants=[self.variants[row] for row in rows])

    def identity(self, row: int) -> object:
        exchanged = [(entry.keyword, entry.start, entry.replacements) for entry in self.variants[row]]
        return ("articles mended", exchanged) if self.mend_articles else exchanged
