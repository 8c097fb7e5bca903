"""What is known of one task, and of one group, after a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from clipbench.metrics import chance_corrected
from clipbench.results.schema import Count, SampleCounts, Share, StandardError, TaskReport

Z_95 = 1.959964
"""95 % of a normal distribution lie within this many standard errors."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric's value.

    Attributes:
        value: The mean over samples, in [0, 1].
        stderr: Its standard error, clustered by image; None where it is not known.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    value: Share
    stderr: StandardError | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of a normal distribution, within [0, 1]; None where the standard error is not known.

        Examples:
            >>> [round(end, 3) for end in Measure(0.01, 0.01).interval]
            [0.0, 0.03]
        """
        if self.stderr is None:
            return None
        return max(0.0, self.value - Z_95 * self.stderr), min(1.0, self.value + Z_95 * self.stderr)

    def __str__(self) -> str:
        """Four digits, with the standard error if there is one: ``0.4812 ± 0.0093``."""
        return f"{self.value:.4f}" if self.stderr is None else f"{self.value:.4f} ± {self.stderr:.4f}"


class TaskResult(TaskReport):
    """One task's numbers, and all that is known of them.

    Attributes:
        metrics: Metric to its value; empty where the task failed.
        counts: Samples in the data, and samples scored.
        version: The task's version.
        higher_is_better: Metric to whether more is better; names all metrics of the task.
        declaration: The task's declaration: dataset, hub repository and revision, license, citation, …
    """

    metrics: dict[str, Measure] = {}
    counts: SampleCounts = SampleCounts()
    version: Count = 1
    higher_is_better: dict[str, bool] = {}
    declaration: dict[str, Any] = {}

    @property
    def primary(self) -> Measure | None:
        """The primary metric; None where there is no value of it."""
        return self.metrics.get(self.primary_metric)

    @property
    def best_blind(self) -> float | None:
        """The primary metric of the best rule that sees no image; None if there is none."""
        return self.blind_floor(self.primary_metric)

    def blind_floor(self, metric: str) -> float | None:
        """Any metric of the best rule that sees no image; None if there is none, or it is not known of this metric."""
        rules = self.blind if metric == self.primary_metric else self.blind_balanced.get(metric, {})
        return max(rules.values(), default=None)

    @property
    def chance_corrected(self) -> float | None:
        """The primary metric, rescaled so that chance is 0 and perfection 1."""
        if self.primary is None or self.chance is None or self.chance >= 1:
            return None
        return chance_corrected(self.primary.value, self.chance)


class GroupResult(BaseModel):
    """The tasks of a group that was run whole.

    Attributes:
        tasks: Their names.
        metric: Their primary metric; None where they do not share one.
        mean: The plain mean of that metric; None where there is none.
        complete: All tasks are.
    """

    tasks: list[str]
    metric: str | None = None
    mean: Measure | None = None
    complete: bool = True
