"""Paired statistics of two models on the same samples: exact tests, clustered intervals, Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """The exact two-sided McNemar test: of the samples that one model alone has right, is half A's?

    ``min(1, 2 · P(X ≤ min(only_a, only_b)))`` with ``X`` binomial over the discordant samples at 1/2
    (McNemar 1947; exact form as in statsmodels). Takes samples as independent.

    Args:
        only_a: Samples that only A has right.
        only_b: Samples that only B has right.

    Returns:
        The p-value; 1 where the models never disagree.

    Examples:
        >>> mcnemar_exact(1, 5)
        0.21875
    """
    discordant, term, tail = only_a + only_b, 1, 0
    for k in range(min(only_a, only_b) + 1):
        tail += term
        term = term * (discordant - k) // (k + 1)
    return float(min(Fraction(1), Fraction(2 * tail, 2**discordant)))


def sign_flip_test(differences: Sequence[int] | NDArray[np.int64]) -> float:
    """The exact paired test where samples of a cluster hang together.

    Were the models alike, A and B could change names within any cluster: each cluster's difference is as likely
    with the other sign. The distribution of their sum over all ``2^G`` choices is computed by convolution. Where
    no cluster has more than one discordant sample, this is ``mcnemar_exact``.

    Args:
        differences: For each cluster, A's wins less B's, ``(G,)``.

    Returns:
        ``P(|sum| ≥ |observed sum|)``.

    Examples:
        >>> round(sign_flip_test([1, -1, -1, -1, -1, -1]), 6)
        0.21875

    Examples:
            >>> sign_flip_test([-4, 0])
            1.0
    """
    observed = abs(int(np.sum(differences)))
    sizes = np.abs(np.asarray(differences, dtype=np.int64))
    distribution = np.ones(1)  # P(sum = 2 · index − reach): a flip changes it by 2
    for size, count in zip(*np.unique(sizes[sizes > 0], return_counts=True), strict=True):
        distribution = _trimmed(_spread(distribution, int(size), _trimmed(_binomial(int(count)))))
    reach = len(distribution) - 1
    sums = np.abs(2 * np.arange(reach + 1) - reach)
    return float(min(1.0, distribution[sums >= observed].sum()))


def _spread(distribution: Numbers, step: int, weights: Numbers) -> Numbers:
    """Convolve with weights that are ``step`` places apart.

    ``np.convolve`` also multiplies the zeros between them, and starts BLAS's threads for every place of the result:
    where another program keeps the cores busy, it takes seconds.
    """
    spread = np.zeros(len(distribution) + step * (len(weights) - 1))
    for place, weight in enumerate(weights):
        spread[step * place : step * place + len(distribution)] += weight * distribution
    return spread


def _binomial(count: int) -> Numbers:
    """The distribution of the number of heads of ``count`` coins, ``(count + 1,)``."""
    logs = [math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in range(count + 1)]
    return np.exp(np.array(logs) - count * math.log(2))


def _trimmed(distribution: Numbers) -> Numbers:
    """A symmetric distribution without its ends that are 0 in floating point; of thousands of values those are most."""
    first = int(np.flatnonzero(distribution)[0])
    return distribution[first : len(distribution) - first]


@dataclass(frozen=True)
class Interval:
    """A difference of two means with its uncertainty.

    Attributes:
        difference: The mean difference over the samples.
        low: Lower end of the 95 % interval.
        high: Upper end.
        stderr: The standard error, clustered.
    """

    difference: float
    low: float
    high: float
    stderr: float


def clustered_bootstrap(
    sums: Numbers, sizes: Numbers, *, resamples: int = 10_000, seed: int = 0, level: float = 0.95
) -> Interval:
    """A percentile interval of a mean over samples, by drawing whole clusters with replacement.

    Clusters of one sum and one size are alike to a mean, so that a resample is one multinomial draw over the kinds
    of cluster: exactly the bootstrap, at a cost that does not grow with the data. (Efron & Tibshirani 1993, §8.)

    Args:
        sums: Each cluster's sum of differences, ``(G,)``.
        sizes: Each cluster's number of samples, ``(G,)``.
        resamples: Draws.
        seed: Of the draws.
        level: Of the interval.

    Returns:
        The interval; of fewer than two clusters its ends and error are NaN.
    """
    difference = float(sums.sum() / sizes.sum())
    groups = len(sums)
    if groups < 2:
        return Interval(difference, math.nan, math.nan, math.nan)
    kinds, counts = np.unique(np.stack([sums, sizes], axis=1), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(groups, counts / groups, size=resamples)  # (resamples, kinds)
    means = (drawn @ kinds[:, 0]) / (drawn @ kinds[:, 1])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    squares = float(((sums - sizes * difference) ** 2).sum())
    stderr = math.sqrt(groups / (groups - 1) * squares) / float(sizes.sum())
    return Interval(difference, float(low), float(high), stderr)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: compare each with the level, and all of them are so at once (Holm 1979).

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - place)))
        adjusted[index] = highest
    return adjusted
