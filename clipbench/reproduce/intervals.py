"""Means over seeds with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_Z = 1.959964  # 95 % of a normal distribution lie within this many standard errors


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds and its 95 % interval, ``value ± margin``.

    Attributes:
        value: The mean.
        margin: Half the width of the interval; NaN if the spread is unknown.
        seeds: How many values it is the mean of.
    """

    value: float
    margin: float
    seeds: int

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.value - self.margin

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.value + self.margin


def over_seeds(values: Sequence[float], stderrs: Sequence[float]) -> Estimate:
    """Average over seeds; two sources of error are added in quadrature.

    Test samples: all seeds are scored on the same ones, so more seeds do not reduce this error; it is 1.96 times the
    mean of the standard errors. Seeds: Student's interval of their mean, 4.3 standard errors with three seeds; unknown
    with a single seed, and left out.

    Args:
        values: One per seed.
        stderrs: The standard error of each over test samples; NaN if there is none.

    Examples:
        >>> estimate = over_seeds([0.8, 0.9], [0.01, 0.01])
        >>> f"{estimate.value:.2f} ± {estimate.margin:.3f}"
        '0.85 ± 0.636'
    """
    from scipy.special import stdtrit

    count = len(values)
    mean = math.fsum(values) / count
    samples = _Z * math.fsum(stderrs) / count
    if count == 1:
        return Estimate(mean, samples, 1)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    seeds = float(stdtrit(count - 1, 0.975)) * spread / math.sqrt(count)
    return Estimate(mean, math.hypot(samples, seeds), count)


def difference(
    values: Sequence[float], stderrs: Sequence[float], others: Sequence[float], other_stderrs: Sequence[float]
) -> Estimate:
    """The mean difference of two models, first minus second, paired by seed.

    The errors over test samples are taken as independent. Two models scored on the same samples mostly agree, so the
    interval is too wide rather than too narrow.

    Args:
        values: One per seed.
        stderrs: Their standard errors.
        others: The other model's, one for each of the same seeds, or a single one for all.
        other_stderrs: Their standard errors.
    """
    if len(others) == 1:
        others, other_stderrs = list(others) * len(values), list(other_stderrs) * len(values)
    return over_seeds(
        [a - b for a, b in zip(values, others, strict=True)],
        [math.hypot(a, b) for a, b in zip(stderrs, other_stderrs, strict=True)],
    )
