"""Numbers over seeds, with what can be said of their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_Z = 1.959964  # 95 % of a normal distribution lie within so many standard errors


@dataclass(frozen=True, slots=True)
class Number:
    """A mean over seeds and its 95 % interval, ``value ± reach``.

    Attributes:
        value: The mean.
        reach: Half the interval; NaN where nothing is known of the spread.
        seeds: How many values it is the mean of.
    """

    value: float
    reach: float
    seeds: int

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.value - self.reach

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.value + self.reach


def over_seeds(values: Sequence[float], stderrs: Sequence[float]) -> Number:
    """A mean over seeds, with two sources of error added up in squares.

    Test samples: all seeds are scored on the same ones, so that more seeds do not make this error smaller; it is 1.96
    times the mean of the standard errors. Seeds: Student's interval of their mean, 4.3 standard errors with three
    seeds; with a single seed nothing can be said of it, and it is left out.

    Args:
        values: One a seed.
        stderrs: The standard error of each, over test samples; NaN where there is none.

    >>> number = over_seeds([0.8, 0.9], [0.01, 0.01])
    >>> f"{number.value:.2f} ± {number.reach:.3f}"
    '0.85 ± 0.636'
    """
    from scipy.special import stdtrit

    count = len(values)
    mean = math.fsum(values) / count
    samples = _Z * math.fsum(stderrs) / count
    if count == 1:
        return Number(mean, samples, 1)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    seeds = float(stdtrit(count - 1, 0.975)) * spread / math.sqrt(count)
    return Number(mean, math.hypot(samples, seeds), count)


def difference(
    values: Sequence[float], stderrs: Sequence[float], others: Sequence[float], other_stderrs: Sequence[float]
) -> Number:
    """The mean of the first less the second, paired by seed.

    The errors over test samples are taken as independent. Two models that are scored on the same samples mostly agree,
    so the interval is rather too wide than too narrow.

    Args:
        values: One a seed.
        stderrs: Their standard errors.
        others: The other model's, one for each of the same seeds; or a single one, which stands for all.
        other_stderrs: Their standard errors.
    """
    if len(others) == 1:
        others, other_stderrs = list(others) * len(values), list(other_stderrs) * len(values)
    return over_seeds(
        [a - b for a, b in zip(values, others, strict=True)],
        [math.hypot(a, b) for a, b in zip(stderrs, other_stderrs, strict=True)],
    )
