"""Which embedding is where: a sorted table of keys, 24 bytes an entry, so that many millions fit into memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]


class KeyTable:
    """Keys of 16 bytes and the place of each, a number.

    Keys are digests, so their first half tells nearly all of them apart: it is what is searched for, and the second
    half is compared. Where two keys share the first half only, the later one is not found, which costs an encoding.
    """

    def __init__(self) -> None:
        self._heads: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._tails: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._places: Places = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._heads)

    def add(self, keys: NDArray[np.uint8], places: Places) -> None:
        """Add entries; of a key that is there twice the first entry is found.

        Args:
            keys: ``(n, 16)``.
            places: ``(n,)``, not negative.
        """
        halves = _halves(keys)
        heads = np.concatenate([self._heads, halves[:, 0]])
        order = np.argsort(heads, kind="stable")  # merges two sorted runs in linear time
        self._heads = heads[order]
        self._tails = np.concatenate([self._tails, halves[:, 1]])[order]
        self._places = np.concatenate([self._places, places])[order]

    def find(self, keys: NDArray[np.uint8]) -> Places:
        """The place of each key, ``(n,)``; −1 where there is none.

        Args:
            keys: ``(n, 16)``.
        """
        halves = _halves(keys)
        if not len(self):
            return np.full(len(halves), -1, np.int64)
        index = np.searchsorted(self._heads, halves[:, 0])
        index[index == len(self)] = 0
        same = (self._heads[index] == halves[:, 0]) & (self._tails[index] == halves[:, 1])
        return np.where(same, self._places[index], -1)

    def remove(self, first: int, stop: int) -> None:
        """Forget the entries whose place is in ``range(first, stop)``."""
        keep = (self._places < first) | (self._places >= stop)
        self._heads, self._tails, self._places = self._heads[keep], self._tails[keep], self._places[keep]


def _halves(keys: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(keys).view("<u8").reshape(-1, 2)
