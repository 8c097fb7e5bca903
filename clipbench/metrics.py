"""Metrics, in plain numpy: numbers in, numbers out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def cosines(images: Floats, texts: Floats) -> Floats:
    """Cosine similarities of unit features, as float32.

    The products are summed in double precision and rounded once, so that a score does not depend on the
    shape of the matrix product it came from: equal features give equal scores, and ties are real ones.

    Args:
        images: ``(N, D)`` unit rows.
        texts: ``(M, D)`` unit rows.

    Returns:
        ``(N, M)``.
    """
    return (images.astype(np.float64) @ texts.astype(np.float64).T).astype(np.float32)


def wins(scores: Floats) -> tuple[bool, bool]:
    """Judge whether the first of several scores is the greatest.

    A tie is not a win: a model that gives every text the same score has understood nothing, and would
    be right throughout if the first of equals counted, as it does under ``argmax``.

    Args:
        scores: ``(n,)``, the right answer's score first.

    Returns:
        ``(won, tied)``: whether ``scores[0]`` exceeds all others, and whether it equals the greatest of them.

    >>> wins(np.float32([0.3, 0.1, 0.2]))
    (True, False)
    >>> wins(np.float32([0.3, 0.3, 0.2]))
    (False, True)
    """
    best_other = scores[1:].max()
    return bool(scores[0] > best_other), bool(scores[0] == best_other)


def rank_of_best(scores: Floats, own: NDArray[np.intp]) -> tuple[int, bool]:
    """Rank the best of a query's own items among the items of others, by counting.

    Counting asks for no sorting, and puts equal scores ahead of the own item, so ties never help.

    Args:
        scores: ``(M,)``, the query against every item.
        own: Indices of the query's own items, at least one.

    Returns:
        ``(rank, tied)``: rank from 1, and whether another's item has the very same score.

    >>> rank_of_best(np.float32([0.1, 0.9, 0.5, 0.5]), np.array([2]))
    (3, True)
    """
    best = scores[own].max()
    ahead = int((scores >= best).sum()) - int((scores[own] >= best).sum())
    equal = int((scores == best).sum()) - int((scores[own] == best).sum())
    return 1 + ahead, equal > 0


def chance_centred(value: float, chance: float) -> float:
    """Rescale so that chance is 0 and perfection 1: ``(value − chance) / (1 − chance)``.

    >>> chance_centred(0.625, 0.25)
    0.5
    """
    return (value - chance) / (1 - chance)


@dataclass
class ClusteredMean:
    """A mean and its standard error, fed one value at a time.

    Values of one cluster (five captions of one photograph) are not independent. With cluster sums
    ``S_g`` over ``n_g`` values, mean ``m``, ``n`` values and ``G`` clusters the standard error is
    ``sqrt(G / (G − 1) · Σ_g (S_g − n_g m)²) / n`` (Liang & Zeger 1986; Miller, arXiv 2411.00640, eq. 4,
    with the small-sample factor). With one value a cluster it is the ordinary ``s / √n``.

    Memory grows with the number of clusters, not of values.

    >>> mean = ClusteredMean()
    >>> for value, image in [(1, "a"), (1, "a"), (0, "b"), (1, "c")]: mean.add(value, image)
    >>> mean.mean, round(mean.stderr, 6)
    (0.75, 0.286411)
    """

    count: int = 0
    _clusters: dict[str, list[float]] = field(default_factory=dict, repr=False)

    def add(self, value: float, cluster: str) -> None:
        """Take one value in."""
        self.count += 1
        totals = self._clusters.setdefault(cluster, [0.0, 0.0])
        totals[0] += value
        totals[1] += 1

    @property
    def clusters(self) -> int:
        """The number of clusters seen."""
        return len(self._clusters)

    @property
    def mean(self) -> float:
        """The mean; NaN where there is no value."""
        if not self.count:
            return math.nan
        return math.fsum(total for total, _ in self._clusters.values()) / self.count

    @property
    def stderr(self) -> float:
        """The standard error of the mean; NaN for fewer than two clusters."""
        groups = len(self._clusters)
        if groups < 2:
            return math.nan
        mean = self.mean
        squares = math.fsum((total - n * mean) ** 2 for total, n in self._clusters.values())
        return math.sqrt(groups / (groups - 1) * squares) / self.count


def macro_stderr(stderrs: list[float]) -> float:
    """The standard error of a plain mean over tasks, taken as independent: ``sqrt(Σ se²) / n``.

    >>> macro_stderr([0.03, 0.04])
    0.025
    """
    return math.sqrt(math.fsum(se * se for se in stderrs)) / len(stderrs)
