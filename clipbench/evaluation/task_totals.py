"""One task's numbers, as they come in."""

from __future__ import annotations

from dataclasses import dataclass, field

from clipbench.data import Source
from clipbench.evaluation.data_report import DataReport
from clipbench.metrics import ClusteredMean, Mean
from clipbench.task_types.base import Task
from clipbench.types import SampleResult


@dataclass
class TaskTotals:
    """One task's numbers.

    Attributes:
        task: The task.
        survey: What its data held.
        metrics: Metric to its mean over samples, with the standard error.
        breakdown: Part of the task to the mean of the primary metric.
        chance: What guessing gives on the primary metric, over the samples scored.
        tied: Samples where an equal score withheld the win.
        truncated_texts: Texts cut to the model's context.
        source: Where the rows came from; None where that failed.
        error: Why the task failed, in one line.
        seconds: Wall time.
    """

    task: Task
    survey: DataReport
    metrics: dict[str, ClusteredMean] = field(default_factory=dict)
    breakdown: dict[str, Mean] = field(default_factory=dict)
    chance: Mean = field(default_factory=Mean)
    tied: int = 0
    truncated_texts: int = 0
    source: Source | None = None
    error: str | None = None
    seconds: float = 0.0

    def add(self, outcome: SampleResult) -> None:
        """Count one outcome in."""
        for name, value in outcome.values.items():
            if name not in self.metrics:
                self.metrics[name] = ClusteredMean()
            self.metrics[name].add(value, outcome.cluster)
        if self.task.primary_metric in outcome.values:
            self.breakdown.setdefault(outcome.group, Mean()).add(outcome.values[self.task.primary_metric])
            self.chance.add(outcome.chance)
        self.tied += outcome.tied
