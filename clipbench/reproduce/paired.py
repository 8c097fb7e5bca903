"""Differences of two models over the test samples that both scored."""

from __future__ import annotations

from pathlib import Path

from clipbench.errors import ResultError
from clipbench.results.sample_log import logged_samples
from clipbench.task_types.registry import find_task_type
from clipbench.types import LoggedSample
from clipbench.utils.counting import BalancedMean, ClusteredMean


def paired_difference(first: Path, second: Path, task: str, task_type: str, metric: str) -> tuple[float, float]:
    """The difference of a metric between two models, first minus second, and its standard error, clustered by image.

    Two models mostly agree, so that this error is smaller than that of two scores taken as independent.

    Args:
        first: Result file of a model, with its sample log beside it.
        second: That of the model that is subtracted.
        task: The task.
        task_type: Its type.
        metric: A metric that is a mean over samples, or the balanced mean of one.

    Raises:
        ResultError: A log is missing or damaged, or the two hold other samples.
    """
    averaged = find_task_type(task_type).balanced_metrics.get(metric)
    values, others = (_by_sample(path, task, averaged or metric) for path in (first, second))
    if not values or values.keys() != others.keys():
        raise ResultError(f"{first} and {second}: their logs of {task} do not hold the same samples")
    mean, balanced = ClusteredMean(), BalancedMean()
    for name, (value, sample) in values.items():
        difference = value - others[name][0]
        mean.add(difference, sample.cluster)
        balanced.add(difference, sample.cluster, sample.group)
    chosen = balanced if averaged else mean
    return chosen.mean, chosen.stderr


def _by_sample(results: Path, task: str, metric: str) -> dict[str, tuple[float, LoggedSample]]:
    """Samples that a metric is the mean of, by id, each with its value; of a search, those of one direction."""
    return {
        sample.id: (float(sample.values[metric]), sample)
        for sample in logged_samples(results, task)
        if metric in sample.values
    }
