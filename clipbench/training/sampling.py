"""Chance in training, without a generator's state: every draw is a function of (seed, epoch, sample).

So batches, substitutions and positions of negatives are the same however training was interrupted, and on however many
processes. Philox (Salmon et al. 2011, Parallel Random Numbers: As Easy as 1, 2, 3) is counter-based: seed and epoch
are its key, what is drawn and the sample's number its counter.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Uniforms = NDArray[np.float64]

_ORDER: Final = 0
_SUBSTITUTIONS: Final = 1
_POSITIONS: Final = 2
_CAPTIONS: Final = 3
_IMAGE_POSITIONS: Final = 4
_MATCHING: Final = 5
_POOLS: Final = 16  # more than there are purposes: each part of a mix draws for itself
_MASK: Final = 2**64 - 1


def _words(seed: int, epoch: int, purpose: int, count: int) -> NDArray[np.uint64]:
    philox = np.random.Philox(key=[seed & _MASK, epoch], counter=[0, 0, 0, purpose])
    words: NDArray[np.uint64] = philox.random_raw(count)
    return words


def epoch_order(seed: int, epoch: int, samples: int, pool: int = 0) -> Ints:
    """The samples ``0 … samples - 1`` in the order of an epoch, ``(samples,)``; in another one for each ``pool``."""
    return np.argsort(_words(seed, epoch, _ORDER + _POOLS * pool, samples), kind="stable")


def substitution_uniforms(seed: int, epoch: int, samples: int, negatives: int) -> Uniforms:
    """``(samples, 1 + negatives)`` in [0, 1): which concept of a caption is varied, and its replacements."""
    return _uniforms(seed, epoch, _SUBSTITUTIONS, samples, 1 + negatives)


def shuffler(seed: int, epoch: int) -> np.random.Generator:
    """Decides how an epoch's matched replacements are shared out, where their counts leave it open."""
    return np.random.Generator(np.random.Philox(key=[seed & _MASK, epoch], counter=[0, 0, 0, _MATCHING]))


def position_uniforms(seed: int, epoch: int, samples: int, negatives: int) -> Uniforms:
    """``(samples, negatives)`` in [0, 1): which positions of a sample's row its negatives take."""
    return _uniforms(seed, epoch, _POSITIONS, samples, negatives)


def caption_uniforms(seed: int, epoch: int, images: int, pool: int = 0) -> Uniforms:
    """``(images,)`` in [0, 1): which of an image's captions an epoch has, where it has one for each image."""
    return _uniforms(seed, epoch, _CAPTIONS + _POOLS * pool, images, 1)[:, 0]


def image_position_uniforms(seed: int, epoch: int, samples: int, negatives: int) -> Uniforms:
    """``(samples, negatives)`` in [0, 1): which positions of a sample's column its negative images take."""
    return _uniforms(seed, epoch, _IMAGE_POSITIONS, samples, negatives)


def _uniforms(seed: int, epoch: int, purpose: int, samples: int, width: int) -> Uniforms:
    words = _words(seed, epoch, purpose, samples * width) >> np.uint64(11)
    uniforms: Uniforms = (words.astype(np.float64) * 2.0**-53).reshape(samples, width)
    return uniforms


def distinct(uniforms: Uniforms, options: Ints, taken: Ints | None = None) -> Ints:
    """Draw without replacement, row by row.

    Examples:
        >>> distinct(np.array([[0.0, 0.0, 0.0]]), np.array([3])).tolist()
        [[0, 1, 2]]
        >>> distinct(np.array([[0.0, 0.99]]), np.array([4]), taken=np.array([0])).tolist()
        [[1, 3]]

    Args:
        uniforms: ``(B, k)`` in [0, 1).
        options: ``(B,)``; row b draws from ``0 … options[b] - 1``.
        taken: ``(B,)``; a number that row b must not draw.

    Returns:
        ``(B, k)``, in each row k different numbers.
    """
    rows, count = uniforms.shape
    used = np.empty((rows, 0), dtype=np.int64) if taken is None else taken.reshape(rows, 1).astype(np.int64)
    first = used.shape[1]
    for column in range(count):
        pick = (uniforms[:, column] * (options - used.shape[1])).astype(np.int64)
        # The pick counts what is left: step over each number that is gone, from the smallest.
        for gone in np.sort(used, axis=1).T:
            pick += pick >= gone
        used = np.concatenate([used, pick[:, None]], axis=1)
    return used[:, first:]
