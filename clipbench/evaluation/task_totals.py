"""One task's numbers, summed up sample by sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from clipbench.data import Source
from clipbench.evaluation.data_report import DataReport
from clipbench.task_types.base import Task
from clipbench.types import SampleResult
from clipbench.utils.counting import BalancedMean, ClusteredMean, JointMean, Mean
from clipbench.utils.text import pluralize

_AT_ONCE = 256  # samples

Scored = tuple[Mapping[str, float], str, str]
"""A sample's metrics, its cluster and its group."""


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

    _waiting: list[SampleResult] = field(default_factory=list, init=False, repr=False)

    def add(self, result: SampleResult) -> None:
        """Add one sample; ``settle`` after the last one."""
        self._waiting.append(result)
        if len(self._waiting) >= _AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Count the samples that were added, many at once."""
        results, self._waiting = self._waiting, []
        scored = [(result.values, result.cluster, result.group) for result in results]
        for name in dict.fromkeys(chain.from_iterable(values for values, _, _ in scored)):
            found, clusters, _ = _columns(scored, name)
            self.metrics.setdefault(name, ClusteredMean()).extend(found, clusters)
        add_balanced(self.balanced, self.task, scored)
        parts: dict[str, list[float]] = {}
        primary, _, groups = _columns(scored, self.task.primary_metric)
        for group, value in zip(groups, primary, strict=True):
            parts.setdefault(group, []).append(value)
        for group, some in parts.items():
            self.breakdown.setdefault(group, Mean()).extend(some)
        self.chance.extend([result.chance for result in results if self.task.primary_metric in result.values])
        self.scored += len(results)
        self.tied += sum(result.tied for result in results)


def add_balanced(means: dict[str, BalancedMean], task: Task, scored: Sequence[Scored]) -> None:
    """Add samples to a task's balanced and joint metrics."""
    for name, averaged in task.balanced_metrics.items():
        values, clusters, groups = _columns(scored, averaged)
        if values:
            means.setdefault(name, BalancedMean()).extend(values, clusters, groups)
    for name, unit in task.joint_metrics.items():
        values, clusters, groups = _columns(scored, task.primary_metric)
        if values:
            units = [f"{cluster} {group}" for cluster, group in zip(clusters, groups, strict=True)]
            means.setdefault(name, JointMean()).extend(values, clusters, units if unit == "group" else clusters)


def _columns(scored: Sequence[Scored], name: str) -> tuple[list[float], list[str], list[str]]:
    """The values of a metric, and the clusters and groups of the samples that have it."""
    having = [sample for sample in scored if name in sample[0]]
    return [values[name] for values, _, _ in having], [cluster for _, cluster, _ in having], [g for _, _, g in having]


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
