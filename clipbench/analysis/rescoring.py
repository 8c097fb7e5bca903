"""Metrics again from logged scores: the tasks' own rules, without a model or an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clipbench.errors import ResultError
from clipbench.results.files import choose_tasks, logged_runs, samples_path
from clipbench.results.sample_log import cluster_of, image_keys, logged_samples
from clipbench.task_types.registry import select_tasks
from clipbench.types import ImageRef, Sample
from clipbench.utils.counting import ClusteredMean

if TYPE_CHECKING:
    from PIL import Image

    from clipbench.task_types import Task


@dataclass
class Rescored:
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
    metrics: dict[str, ClusteredMean] = field(default_factory=dict)
    breakdown: dict[str, ClusteredMean] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)


def rescore(place: str | Path, tasks: str | None = None, *, include_path: Sequence[str | Path] = ()) -> list[Rescored]:
    """Judge logged samples again.

    Args:
        place: A samples file, a results file with samples beside it, or a folder with those of one model.
        tasks: Names and globs, joined by commas; all that were logged where left out.
        include_path: Where tasks that do not come with clipbench are.

    Raises:
        ResultError: There are no samples, or a line is none of clipbench's.
        UnknownName: A task that is not there.
    """
    runs = logged_runs(Path(place))
    return [_rescore(name, runs[name], include_path) for name in choose_tasks(runs, tasks)]


def _rescore(name: str, results_path: Path, include_path: Sequence[str | Path]) -> Rescored:
    (task,) = select_tasks([name], include_path)
    rescored = Rescored(name, task.primary_metric)
    for number, line in enumerate(logged_samples(results_path, name), 1):
        try:
            values = _values(task, line)
            cluster, group, logged = cluster_of(line), line["group"], {metric: line[metric] for metric in values}
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            place = samples_path(results_path, name)
            raise ResultError(f"{place}:{number}: no sample of {name}: {error!r}") from None
        for metric, value in values.items():
            rescored.metrics.setdefault(metric, ClusteredMean()).add(value, cluster)
        if task.primary_metric in values:
            part = rescored.breakdown.setdefault(group, ClusteredMean())
            part.add(values[task.primary_metric], cluster)
        if values != logged:
            rescored.changed.append(str(line["doc_id"]))
    return rescored


def _values(task: Task, line: Mapping[str, Any]) -> Mapping[str, float]:
    if task.task_type == "retrieval":  # the whole set's scores are not logged, each query's rank is
        way, rank = f"{line['direction']}_recall@", int(line["rank"])
        return {metric: float(rank <= int(metric.split("@")[1])) for metric in task.metrics if metric.startswith(way)}
    images = tuple(ImageRef(key, _never_opened) for key in image_keys(line))
    sample = Sample(str(line["doc_id"]), images, line["texts"], line["group"], cluster_of(line))
    scores = np.atleast_2d(np.asarray(line["scores"], dtype=np.float32))
    if scores.shape != (len(images), len(line["texts"])):
        raise ValueError(f"{len(images)} images and {len(line['texts'])} texts have scores of shape {scores.shape}")
    return task.score_sample(sample, scores).values


def _never_opened() -> Image.Image:
    raise ResultError("a logged sample has no image")
