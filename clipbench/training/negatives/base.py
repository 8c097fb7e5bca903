"""The interface of every source of hard negatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clipbench.training.sampling import Ints


@dataclass(frozen=True, slots=True)
class Draw:
    """Which hard negatives the captions get in an epoch.

    Attributes:
        picks: ``(n, …)``; row i says, in the source's own terms, what was drawn for caption i.
        weights: ``(n,)`` weights of the captions in the loss, 1 on average; None: all weigh the same.
    """

    picks: Ints
    weights: NDArray[np.float64] | None = None


class Negatives(Protocol):
    """Hard negatives of n captions, drawn for each epoch.

    Attributes:
        k: Hard negatives per caption.
    """

    @property
    def k(self) -> int:
        """Hard negatives per caption."""

    def draw(self, seed: int, epoch: int) -> Draw:
        """Draw an epoch's hard negatives: a function of (seed, epoch, caption)."""

    def texts(self, rows: Ints, picks: Ints) -> tuple[list[str], NDArray[np.bool_]]:
        """Hard negatives of some captions.

        Args:
            rows: ``(B,)`` captions.
            picks: ``(B, …)``, the rows of ``Draw.picks`` of these captions.

        Returns:
            ``B·k`` texts, those of one caption side by side, and ``(B, k)``: False where a caption has no such hard
            negative; the text at that place is the caption itself. The others differ from their caption and from each
            other.
        """

    def kept(self, rows: Sequence[int]) -> Negatives:
        """The hard negatives of some of the captions only."""

    def identity(self, row: int) -> object:
        """What decides on a caption's hard negatives, as a value with a stable ``repr``."""
