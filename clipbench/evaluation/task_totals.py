"""One task's numbers, summed up sample by sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clipbench.data import Source
from clipbench.evaluation.data_report import DataReport
from clipbench.task_types.base import Task
from clipbench.types import SampleResult
from clipbench.utils.counting import BalancedMean, ClusteredMean, JointMean, Mean
from clipbench.utils.text import pluralize


@dataclass
class TaskTotals:
    """One task's numbers.

    Attributes:
        task: The task.
        report: What its data held.
        source: Where the rows came from; None where it could not be opened.
        metrics: Metric to its mean over samples, with the standard error.
        balanced: The same for metrics over groups or clusters of samples.
        breakdown: Part of the task to the mean of the primary metric.
        chance: What guessing gives on the primary metric, over the samples scored.
        blind: What rules that see no image reach, by metric and rule, once all samples have been read.
        scored: Results that were added; in retrieval, queries.
        tied: Those in which an equal score prevented a win.
        truncated_texts: Texts cut to the model's context.
        error: Why the task failed, in one line.
        seconds: Wall time.
    """

    task: Task
    report: DataReport
    source: Source | None = None
    metrics: dict[str, ClusteredMean] = field(default_factory=dict)
    balanced: dict[str, BalancedMean] = field(default_factory=dict)
    breakdown: dict[str, Mean] = field(default_factory=dict)
    chance: Mean = field(default_factory=Mean)
    blind: dict[str, dict[str, float]] = field(default_factory=dict)
    scored: int = 0
    tied: int = 0
    truncated_texts: int = 0
    error: str | None = None
    seconds: float = 0.0

    def add(self, result: SampleResult) -> None:
        """Add one sample."""
        values, group = result.values, result.group
        for name, value in values.items():
            if name not in self.metrics:
                self.metrics[name] = ClusteredMean()
            self.metrics[name].add(value, result.cluster)
        add_balanced(self.balanced, self.task, values, result.cluster, group)
        if (primary := values.get(self.task.primary_metric)) is not None:
            if group not in self.breakdown:
                self.breakdown[group] = Mean()
            self.breakdown[group].add(primary)
            self.chance.add(result.chance)
        self.scored += 1
        self.tied += result.tied


def add_balanced(
    means: dict[str, BalancedMean], task: Task, values: Mapping[str, float], cluster: str, group: str
) -> None:
    """Add one sample to a task's balanced and joint metrics."""
    for name, averaged in task.balanced_metrics.items():
        if averaged in values:
            if name not in means:
                means[name] = BalancedMean()
            means[name].add(values[averaged], cluster, group)
    for name, unit in task.joint_metrics.items():
        if task.primary_metric in values:
            if name not in means:
                means[name] = JointMean()
            means[name].add(values[task.primary_metric], cluster, f"{cluster} {group}" if unit == "group" else cluster)


def tie_note(tied: int, scored: int) -> str | None:
    """The note on samples in which an equal score prevented a win; None if there are none.

    Args:
        tied: The number of such samples.
        scored: The number of all samples.
    """
    if not tied:
        return None
    if tied < scored:
        return f"{tied:,} of {scored:,} samples tied: an equal score is not a win"
    return (
        f"all {pluralize(scored, 'sample')} tied: right and wrong answers have equal scores, which is not a win;"
        " the model may not see the difference (upper and lower case, words beyond its context)"
    )
