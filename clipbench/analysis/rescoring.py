"""Metrics recomputed from logged scores by the tasks' own rules, without a model or an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clipbench.errors import ResultError
from clipbench.evaluation.task_totals import add_balanced
from clipbench.results.files import choose_tasks, logged_runs, samples_path
from clipbench.results.sample_log import logged_samples
from clipbench.task_types.registry import select_tasks
from clipbench.utils.counting import BalancedMean, ClusteredMean


@dataclass
class RescoredTask:
    """A task's metrics from its logged scores.

    Attributes:
        task: The task.
        primary_metric: The metric to quote.
        metrics: Metric to its mean, with the standard error.
        breakdown: Part of the task (the keyword) to the mean of the primary metric.
        changed: Ids of samples that were logged with another value of a metric.
    """

    task: str
    primary_metric: str
    metrics: dict[str, ClusteredMean | BalancedMean] = field(default_factory=dict)
    breakdown: dict[str, ClusteredMean] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)


def rescore(
    place: str | Path, tasks: str | None = None, *, include_path: Sequence[str | Path] = ()
) -> list[RescoredTask]:
    """Recompute the metrics of logged samples.

    Args:
        place: A sample log, a result file with samples, or a folder with those of one model.
        tasks: Names and globs, separated by commas; by default all that were logged.
        include_path: Where tasks that are not bundled are found.

    Raises:
        ResultError: There are no samples, or a line is not a sample of the task.
        UnknownName: There is no such task.
    """
    runs = logged_runs(Path(place))
    return [_rescore(name, runs[name], include_path) for name in choose_tasks(runs, tasks)]


def _rescore(name: str, results_path: Path, include_path: Sequence[str | Path]) -> RescoredTask:
    (task,) = select_tasks([name], include_path)
    rescored = RescoredTask(name, task.primary_metric)
    means: dict[str, ClusteredMean] = {}
    balanced: dict[str, BalancedMean] = {}
    for sample in logged_samples(results_path, name):
        try:
            values = task.rescore(sample)
            logged = {metric: sample.values[metric] for metric in values}
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            place = samples_path(results_path, name)
            raise ResultError(f"{place}: {sample.id} is not a sample of {name}: {error!r}") from None
        for metric, value in values.items():
            means.setdefault(metric, ClusteredMean()).add(value, sample.cluster)
        add_balanced(balanced, task, values, sample.cluster, sample.group)
        if task.primary_metric in values:
            part = rescored.breakdown.setdefault(sample.group, ClusteredMean())
            part.add(values[task.primary_metric], sample.cluster)
        if values != logged:
            rescored.changed.append(sample.id)
    rescored.metrics = {**means, **balanced}
    return rescored
