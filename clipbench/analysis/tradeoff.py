"""Concept accuracy against retrieval, a curve a run and a point a checkpoint: Figure 4 of arXiv 2403.02875."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from clipbench.errors import ResultError
from clipbench.results import Results
from clipbench.results.schema import Count, Number, Share, StandardError
from clipbench.task_types.registry import find_task_type
from clipbench.utils.json_files import is_regular_file, read_json, validate
from clipbench.utils.text import excerpt

SCHEMA_VERSION = 1
FILE_NAME = "tradeoff.json"
RETRIEVAL_METRIC = "t2i_recall@5"


class Score(BaseModel):
    """A task's number.

    Attributes:
        task: The task.
        version: Its version; numbers of two versions do not mix.
        metric: The metric.
        value: The metric, in [0, 1].
        stderr: Its standard error; None where it has none.
        n: Samples it is the mean of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    version: Count
    metric: str
    value: Share
    stderr: StandardError | None = None
    n: Count


class Point(BaseModel):
    """A checkpoint.

    Attributes:
        curve: The run it belongs to; ``ORIGINAL`` for the model that training started from.
        label: Its label next to the curve.
        retrieval: Text-to-image Recall@5, the x axis.
        concepts: The other tasks' primary metrics, a panel each.
        step: Optimizer steps done, of a checkpoint of training.
        alpha: The share of the fine-tuned weights, of an interpolation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    curve: str
    label: str
    retrieval: Score
    concepts: Annotated[tuple[Score, ...], Field(min_length=1)]
    step: Count | None = None
    alpha: Number | None = None

    @property
    def scores(self) -> tuple[Score, ...]:
        """All numbers of the point, retrieval first."""
        return (self.retrieval, *self.concepts)

    def at(self, task: str) -> tuple[float, float]:
        """``(x, y)`` in a task's panel.

        Raises:
            KeyError: The point has no number for that task.
        """
        for score in self.concepts:
            if score.task == task:
                return self.retrieval.value, score.value
        raise KeyError(task)


class Tradeoff(BaseModel):
    """The figure's data, as ``tradeoff.json`` holds it.

    Attributes:
        title: Written above the figure.
        points: Curve after curve, each in the order of its steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Count = SCHEMA_VERSION
    title: str
    points: Annotated[tuple[Point, ...], Field(min_length=1)]

    def panel(self, task: str) -> list[Point]:
        """The points that have a number for a task."""
        return [point for point in self.points if any(score.task == task for score in point.concepts)]

    @property
    def tasks(self) -> list[str]:
        """Tasks of the panels, in the order of their appearance."""
        return list(dict.fromkeys(score.task for point in self.points for score in point.concepts))


def point_from_results(
    results: Results, curve: str, label: str, *, step: int | None = None, alpha: float | None = None
) -> Point:
    """Take a point's numbers from an evaluation; tasks that failed are left out.

    Raises:
        ResultError: There is not exactly one retrieval task, or no other task.
    """
    done = [task for task in results.tasks if task not in results.failed]
    retrieval = [task for task in done if find_task_type(results.tasks[task].task_type).whole_set]
    others = [task for task in done if task not in retrieval]
    if len(retrieval) != 1 or not others:
        found = ", ".join(done) or "no task that was scored"
        raise ResultError(f"a trade-off needs one retrieval task and at least one other task; there is: {found}")
    return Point(
        curve=curve,
        label=label,
        retrieval=_score(results, retrieval[0], RETRIEVAL_METRIC),
        concepts=tuple(_score(results, task, results.tasks[task].primary_metric) for task in others),
        step=step,
        alpha=alpha,
    )


def _score(results: Results, task: str, metric: str) -> Score:
    result = results.tasks[task]
    measure = result.metrics.get(metric)
    if measure is None or not math.isfinite(measure.value):
        raise ResultError(f"{results.model_name}: {task} has no {metric}")
    return Score(
        task=task,
        version=result.version,
        metric=metric,
        value=measure.value,
        stderr=measure.stderr,
        n=result.counts.effective,
    )


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which points no other one beats, where more is better in both directions.

    A point is beaten by one that is at least as good in both and better in one. Equal points do not beat each
    other: either all of them are on the front or none.

    Args:
        points: ``(x, y)`` each.

    Returns:
        For each point whether it is on the front.

    Examples:
        >>> pareto_front([(0.5, 0.9), (0.6, 0.8), (0.5, 0.8), (0.6, 0.8)])
        [True, True, False, True]
    """
    return [not any(x <= a and y <= b and (x, y) != (a, b) for a, b in points) for x, y in points]


def read_tradeoff(path: Path) -> Tradeoff:
    """Read ``tradeoff.json``, or the one in a folder.

    Raises:
        ResultError: It is not there, not JSON, or not written by clipbench.
    """
    file = path if is_regular_file(path) else path / FILE_NAME
    data = read_json(file, "trade-off")
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        shown = excerpt(repr(version), 40)
        raise ResultError(f"{file}: not a trade-off of schema version {SCHEMA_VERSION}, but {shown}")
    return validate(Tradeoff, data, file)
