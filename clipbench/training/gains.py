"""What a fine-tuning gained and what it cost: its model against the base model, on the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clipbench.analysis.statistics import Interval, clustered_bootstrap
from clipbench.results import Results
from clipbench.task_types.registry import find_task_type
from clipbench.types import SampleResult

ClusterSums = dict[str, dict[str, tuple[float, int]]]
"""Task → cluster → the sum of the primary metric over the cluster's samples, and how many they are."""


@dataclass(frozen=True, slots=True)
class Change:
    """A task's primary metric before and after.

    Attributes:
        task: The task.
        metric: Its primary metric.
        base: The base model's value.
        trained: The fine-tuned model's.
        interval: The difference with its 95 % interval, a bootstrap over images; None where samples of the base model
            are not known.
        retrieval: The task ranks a whole set, as retrieval does.
    """

    task: str
    metric: str
    base: float
    trained: float
    interval: Interval | None
    retrieval: bool

    @property
    def difference(self) -> float:
        """The trained model's value less the base model's."""
        return self.trained - self.base

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` where the interval excludes 0, else ``not clear``; empty without an interval."""
        if self.interval is None:
            return ""
        return "better" if self.interval.low > 0 else "worse" if self.interval.high < 0 else "not clear"

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {**asdict(self), "verdict": self.verdict}


class SumsByCluster:
    """Adds up sample results as a run yields them.

    Args:
        metrics: Task to its primary metric; samples without it are not counted.

    Attributes:
        sums: What has been added up.
    """

    def __init__(self, metrics: Mapping[str, str]) -> None:
        self._metrics = metrics
        self.sums: ClusterSums = {}

    def add(self, task: str, result: SampleResult) -> None:
        """Add a sample of a task."""
        value = result.values.get(self._metrics[task])
        if value is not None:
            clusters = self.sums.setdefault(task, {})
            total, number = clusters.get(result.cluster, (0.0, 0))
            clusters[result.cluster] = total + value, number + 1


def find_changes(base: Results, trained: Results, sums_base: ClusterSums, sums_trained: ClusterSums) -> list[Change]:
    """Compare two models task by task, as far as both have a score.

    Args:
        base: The base model's scores.
        trained: The trained model's.
        sums_base: The base model's samples; a task is without an interval where they are not those of the trained one.
        sums_trained: The trained model's.
    """
    changes = []
    for task, result in trained.tasks.items():
        before = base.tasks.get(task)
        if before is None or before.primary is None or result.primary is None:
            continue
        interval = _interval(sums_base.get(task, {}), sums_trained.get(task, {}))
        retrieval = find_task_type(result.task_type).whole_set
        values = before.primary.value, result.primary.value
        changes.append(Change(task, result.primary_metric, *values, interval, retrieval))
    return changes


def _interval(base: Mapping[str, tuple[float, int]], trained: Mapping[str, tuple[float, int]]) -> Interval | None:
    sizes = {cluster: number for cluster, (_, number) in trained.items()}
    if len(sizes) < 2 or sizes != {cluster: number for cluster, (_, number) in base.items()}:
        return None
    differences = [trained[cluster][0] - base[cluster][0] for cluster in sizes]
    return clustered_bootstrap(np.array(differences), np.array(list(sizes.values()), dtype=float))
