"""Random numbers that depend only on their address.

A scene must be the same on every platform, in every reading order and under every version of numpy. numpy only
guarantees the *raw* output of its bit generators, not the methods of `Generator`, so this class takes raw words of
Philox, a counter-based generator, and derives everything else in integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_BLOCK = 64


class Dice:
    """Integers drawn from the address (seed, split, index, stream).

    Args:
        seed, split, index, stream: non-negative integers below 2**64. Two different addresses give independent
            sequences; the same address always gives the same one.
    """

    def __init__(self, seed: int, split: int, index: int, stream: int) -> None:
        # Philox counts its blocks in the low counter word
        key = np.array([seed, split], dtype=np.uint64)
        counter = np.array([0, 0, index, stream], dtype=np.uint64)
        self._bits = np.random.Philox(key=key, counter=counter)
        self._words: list[int] = []

    def below(self, bound: int) -> int:
        """An integer in [0, bound). The modulo's bias is under bound / 2**64."""
        if not self._words:
            self._words = self._bits.random_raw(_BLOCK).tolist()
        return self._words.pop() % bound

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high], both ends included."""
        return low + self.below(high - low + 1)

    def percent(self, chance: int) -> bool:
        """True with a probability of `chance` percent."""
        return self.below(100) < chance

    def choice(self, items: Sequence[T]) -> T:
        """One of the items, all equally likely."""
        return items[self.below(len(items))]

    def weighted(self, weights: Sequence[int]) -> int:
        """An index with a probability proportional to its integer weight."""
        left = self.below(sum(weights))
        for index, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return index
        raise ValueError("weights must be non-negative and not all zero")

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """`count` distinct items in random order."""
        pool = list(items)
        return [pool.pop(self.below(len(pool))) for _ in range(count)]
