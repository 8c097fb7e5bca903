"""Trade-offs of several runs in one."""

from __future__ import annotations

from collections.abc import Mapping

from clipbench.analysis.published import ORIGINAL
from clipbench.analysis.tradeoff import Point, Score, Tradeoff
from clipbench.errors import ResultError


def overlay(runs: Mapping[str, Tradeoff], title: str) -> Tradeoff:
    """Put several runs into one figure; their common ``ORIGINAL`` comes once.

    Args:
        runs: Name to run. The name is put before a curve's where two runs call a curve the same.
        title: The title of the whole.

    Raises:
        ResultError: The runs were not scored on the same samples of the same tasks.
    """
    _check_comparable(runs)
    names = [curve for run in runs.values() for curve in {point.curve for point in run.points}]
    originals: dict[tuple[Score, ...], Point] = {}
    points: list[Point] = []
    for name, run in runs.items():
        for point in run.points:
            if point.curve == ORIGINAL:
                originals.setdefault(point.scores, point)
            else:
                curve = point.curve if names.count(point.curve) == 1 else f"{name}: {point.curve}"
                points.append(point.model_copy(update={"curve": curve}))
    return Tradeoff(title=title, points=(*originals.values(), *points))


def _check_comparable(runs: Mapping[str, Tradeoff]) -> None:
    known: dict[str, tuple[str, Score]] = {}  # what each axis shows, and whose it was first
    for name, run in runs.items():
        for point in run.points:
            for place, score in enumerate(point.scores):
                first_name, first = known.setdefault(score.task if place else "retrieval", (name, score))
                if first.task != score.task:
                    raise ResultError(f"{first_name} and {name}: retrieval is {first.task} and {score.task}")
                if (first.version, first.metric, first.n) != (score.version, score.metric, score.n):
                    raise ResultError(
                        f"{name}: {score.task} version {score.version}, {score.metric} of {score.n:,} samples, does "
                        f"not compare with {first_name}'s version {first.version}, {first.metric} of {first.n:,}: "
                        "re-run both on the same data"
                    )
