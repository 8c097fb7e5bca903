"""Metrics recomputed from logged scores by the tasks' own rules, without a model or an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clipbench.errors import ResultError, UnknownName
from clipbench.evaluation.task_totals import add_balanced, tie_note
from clipbench.results import read_results
from clipbench.results.files import choose_tasks, logged_runs, samples_path
from clipbench.results.sample_log import log_problem, logged_samples
from clipbench.task_types.registry import find_task
from clipbench.utils.counting import BalancedMean, ClusteredMean
from clipbench.utils.json_files import is_regular_file
from clipbench.utils.text import excerpt


@dataclass
class RescoredTask:
    """A task's metrics from its logged scores.

    Attributes:
        task: The task.
        primary_metric: The metric to quote.
        metrics: Metric to its mean, with the standard error.
        breakdown: Part of the task (the keyword) to the mean of the primary metric.
        changed: Ids of samples that were logged with another value of a metric.
        notes: Ties, and any sign that the log is not the run's, one line each.
    """

    task: str
    primary_metric: str
    metrics: dict[str, ClusteredMean | BalancedMean] = field(default_factory=dict)
    breakdown: dict[str, ClusteredMean] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rescore(
    place: str | Path,
    tasks: str | None = None,
    *,
    include_path: Sequence[str | Path] = (),
    on_error: Callable[[str], None] | None = None,
) -> list[RescoredTask]:
    """Recompute the metrics of logged samples.

    Args:
        place: A sample log, a result file with samples, or a folder with those of one model.
        tasks: Names and globs, separated by commas; by default all that were logged.
        include_path: Where tasks that are not bundled are found.
        on_error: Called with one line on what is wrong with a task's log; the other tasks go on. By default, an error
            is raised.

    Raises:
        ResultError: There are no samples, or a line is not a sample of the task.
        UnknownName: There is no such task.
    """
    runs = logged_runs(Path(place))
    rescored = []
    for name in choose_tasks(runs, tasks):
        try:
            rescored.append(_rescore(name, runs[name], include_path))
        except (ResultError, UnknownName) as error:
            if on_error is None:
                raise
            on_error(str(error))
    return rescored


def _rescore(name: str, results_path: Path, include_path: Sequence[str | Path]) -> RescoredTask:
    task, path, count, tied = find_task(name, include_path), samples_path(results_path, name), 0, 0
    rescored = RescoredTask(name, task.primary_metric)
    means: dict[str, ClusteredMean] = {}
    balanced: dict[str, BalancedMean] = {}
    for count, sample in enumerate(logged_samples(results_path, name), 1):  # noqa: B007  # counted
        try:
            values = task.rescore(sample)
            logged = {metric: sample.values[metric] for metric in values}
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            wrong = f"{excerpt(sample.id, 60)} is not a sample of {name}: {excerpt(repr(error), 120)}"
            raise ResultError(f"{path}: {wrong}") from None
        if not values:
            raise ResultError(f"{path}: {excerpt(sample.id, 60)} is not a sample of {name}: it has none of its metrics")
        for metric, value in values.items():
            means.setdefault(metric, ClusteredMean()).add(value, sample.cluster)
        add_balanced(balanced, task, [(values, sample.cluster, sample.group)])
        if task.primary_metric in values:
            part = rescored.breakdown.setdefault(sample.group, ClusteredMean())
            part.add(values[task.primary_metric], sample.cluster)
        tied += sample.tied
        if values != logged:
            rescored.changed.append(sample.id)
    if not count:
        raise ResultError(f"{path}: it contains no samples")
    rescored.metrics = {**means, **balanced}
    ties = tie_note(tied, count)
    rescored.notes = [*([f"{name}: {ties}"] if ties else []), *_doubts(results_path, name, count)]
    return rescored


def _doubts(results_path: Path, name: str, logged: int) -> Iterator[str]:
    """A log can be rescored alone; if its result file exists, the two should agree."""
    if is_regular_file(results_path):
        try:
            problem = log_problem(read_results(results_path), name, logged)
        except ResultError as error:
            problem = f"{name}: its result file cannot be read: {error}"
        if problem:
            yield problem
