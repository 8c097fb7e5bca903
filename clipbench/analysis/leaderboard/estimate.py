"""A number with its uncertainty, as a board's page shows it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from clipbench.analysis.leaderboard.significance import LEVEL
from clipbench.metrics import mean_stderr

Z_95 = 1.959964
"""95 % of a normal distribution lie within so many standard errors."""


@dataclass(frozen=True)
class Estimate:
    """A score, a difference of two, or a mean of either.

    Attributes:
        value: The number.
        stderr: Its standard error; None where it is not known.
    """

    value: float
    stderr: float | None = None

    @property
    def reach(self) -> float | None:
        """Half the width of the 95 % interval."""
        return None if self.stderr is None else Z_95 * self.stderr

    @property
    def p_value(self) -> float | None:
        """Of a z-test against 0."""
        if not self.stderr:
            return None if self.stderr is None else float(self.value == 0)
        return math.erfc(abs(self.value) / self.stderr / math.sqrt(2))

    @property
    def significant(self) -> bool:
        """Whether it differs from 0 by more than chance, at 5 %."""
        return self.p_value is not None and self.p_value < LEVEL


def mean_estimate(estimates: Iterable[Estimate]) -> Estimate:
    """The plain mean; its standard error takes the estimates as independent.

    Examples:
        >>> mean_estimate([Estimate(0.2, 0.03), Estimate(0.4, 0.04)])
        Estimate(value=0.30000000000000004, stderr=0.025)
    """
    several = list(estimates)
    stderrs = [each.stderr for each in several if each.stderr is not None]
    value = sum(each.value for each in several) / len(several)
    return Estimate(value, mean_stderr(stderrs) if len(stderrs) == len(several) else None)
