"""The paper's Figure 4 from a study's numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from clipbench.analysis.published import ORIGINAL
from clipbench.analysis.tradeoff import RETRIEVAL_METRIC, Point, Score
from clipbench.analysis.tradeoff_figure import draw_tradeoff
from clipbench.reproduce.kinds import Kind, all_kinds, trained_kinds
from clipbench.reproduce.lookup import CellKey, Cells
from clipbench.reproduce.steps import Run
from clipbench.reproduce.table_schema import Figure
from clipbench.reproduce.training_schema import concept_label
from clipbench.results import sanitize


def draw_figures(cells: Cells, figure: Figure) -> list[Path]:
    """Draw concept accuracy against retrieval for each base model: a curve per kind of model, a point per checkpoint.

    Points are means over the seeds that have them.

    Returns:
        The files; none if no checkpoint has both numbers.

    Raises:
        ResultError: They cannot be written.
    """
    drawn = []
    for base in cells.study.base_models:
        points = list(_points(cells, figure, base))
        if any(point.curve != ORIGINAL for point in points):
            several = len(cells.study.base_models) > 1
            folder = cells.folder.path / "figures" / sanitize(base) if several else cells.folder.path
            drawn += draw_tradeoff(points, folder, figure.title + (f" — {base}" if several else ""))
    return drawn


def _points(cells: Cells, figure: Figure, base: str) -> Iterator[Point]:
    concepts = [label for concept in cells.study.training.concepts if (label := concept_label(concept)) in figure.tasks]
    tasks = [figure.tasks[concept] for concept in concepts]
    originals = [run for run in cells.runs if run.is_base and run.base_model == base]
    if point := _point(cells, figure, [(run, 0) for run in originals], tasks, ORIGINAL, base):
        yield point
    for kind in trained_kinds(cells.study):
        for concept in concepts:
            tasks = [figure.tasks[concept]]
            for epoch, checkpoints in _by_epoch(cells, _runs_of(cells, base, concept, kind)).items():
                label = f"epoch {epoch:g}"
                if point := _point(cells, figure, checkpoints, tasks, kind.label, label):
                    yield point.model_copy(update={"step": checkpoints[0][1]})
    for kind in all_kinds(cells.study):
        if kind.alpha == 1:
            continue
        for concept in concepts:
            last = _by_epoch(cells, _runs_of(cells, base, concept, kind)).get(float(cells.study.training.epochs), [])
            curve = f"{replace(kind, alpha=1.0).label}, interpolated"
            if point := _point(cells, figure, last, [figure.tasks[concept]], curve, f"α {kind.alpha:g}"):
                yield point.model_copy(update={"alpha": kind.alpha})


def _runs_of(cells: Cells, base: str, concept: str, kind: Kind) -> list[Run]:
    """A run for each seed."""
    key = CellKey(base, "", concept=concept, kind=kind)
    return [run for run in cells.runs if key.is_of(run)]


def _by_epoch(cells: Cells, runs: list[Run]) -> dict[float, list[tuple[Run, int]]]:
    """The checkpoints of all seeds after each part of an epoch."""
    found: dict[float, list[tuple[Run, int]]] = {}
    for run in runs:
        trained = cells.training(run)
        for step, epoch in trained.checkpoints if trained else []:
            found.setdefault(round(epoch, 2), []).append((run, step))
    return dict(sorted(found.items()))


def _point(
    cells: Cells, figure: Figure, checkpoints: list[tuple[Run, int]], tasks: list[str], curve: str, label: str
) -> Point | None:
    retrieval = _score(cells, checkpoints, figure.retrieval, RETRIEVAL_METRIC)
    scores = [score for task in tasks if (score := _score(cells, checkpoints, task, figure.metric))]
    if retrieval is None or not scores:
        return None
    return Point(curve=curve, label=label, retrieval=retrieval, concepts=tuple(scores))


def _score(cells: Cells, checkpoints: list[tuple[Run, int]], task: str, metric: str | None) -> Score | None:
    """A task's mean over seeds."""
    found = [cells.results(run, step, task) for run, step in checkpoints]
    scored = [results.tasks[task] for results in found if results is not None and not results.failed]
    measures = [result.metrics.get(metric or result.primary_metric) for result in scored]
    values = [measure.value for measure in measures if measure is not None]
    if not values or len(values) < len(measures):
        return None
    errors = [measure.stderr for measure in measures if measure is not None and measure.stderr is not None]
    return Score(
        task=task,
        version=scored[0].version,
        metric=metric or scored[0].primary_metric,
        value=fmean(values),
        stderr=fmean(errors) if len(errors) == len(values) else None,
        n=scored[0].counts.effective,
    )
