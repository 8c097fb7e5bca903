"""Counts of things in images other than one's own, so that blind rules learn nothing from the image they decide on."""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64] | npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


class OtherImages:
    """How often things occur in contexts, excluding one's own image.

    Args:
        images: The image of each occurrence, ``(N,)``. Images, contexts and things are numbered from 0.
        contexts: Its context, ``(N,)``.
        things: What occurs, ``(N,)``.
    """

    def __init__(self, images: Ints, contexts: Ints, things: Ints) -> None:
        self._contexts, self._things = (int(values.max(initial=-1)) + 1 for values in (contexts, things))
        codes = self._codes_of(contexts, things)
        self._all = _counted(codes)
        codes += images.astype(np.int64) * (self._contexts * self._things)
        self._own = _counted(codes)

    def _codes_of(self, contexts: Ints, things: Ints) -> npt.NDArray[np.int64]:
        return contexts.astype(np.int64) * self._things + things

    def of(self, images: Ints, contexts: Ints, things: Ints) -> Ints:
        """How often each thing occurs in its context in images other than its own, ``(M,)``."""
        codes = self._codes_of(contexts, things)
        known = (contexts < self._contexts) & (things < self._things)
        own = images.astype(np.int64) * (self._contexts * self._things) + codes
        counts: Ints = np.where(known, _looked_up(self._all, codes) - _looked_up(self._own, own), 0)
        return counts


def numbered(hashes: array[int]) -> Ints:
    """Consecutive numbers from 0 for 64-bit hashes, equal for equal hashes."""
    numbers: Ints = np.unique(np.array(hashes, dtype=np.int64), return_inverse=True)[1].reshape(-1)
    return numbers


def _counted(codes: npt.NDArray[np.int64]) -> tuple[Ints, Ints]:
    """The distinct codes, sorted, and the number of each."""
    distinct, counts = np.unique(codes, return_counts=True)
    return distinct, counts.astype(np.int32)


def _looked_up(table: tuple[Ints, Ints], codes: Ints) -> Ints:
    """The counts of codes, 0 where they are not in the table."""
    known, counts = table
    if not len(known):
        return np.zeros_like(codes)
    places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.where(known[places] == codes, counts[places], 0)
