"""The cells of a study's tables: our score over all seeds, the published figure, and whether they agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

from clipbench.analysis.published import published_figure
from clipbench.reproduce.folder import StudyFolder, TrainingRecord
from clipbench.reproduce.intervals import Estimate, over_seeds
from clipbench.reproduce.kinds import BASE, Kind
from clipbench.reproduce.paired import paired_difference
from clipbench.reproduce.steps import Run, is_whole, runs_of
from clipbench.reproduce.study import Study
from clipbench.results import Results, read_results

NOT_TRAINED: Final = ": not trained yet"
_ROUNDING = 0.005  # published figures have two digits


@dataclass(frozen=True, slots=True)
class CellKey:
    """What a cell shows: a kind of model after an epoch, on a task.

    Attributes:
        base_model: The base model.
        task: The task.
        metric: Of the task; None for its primary one.
        concept: Label of the concept that was trained on; None for the base model itself.
        kind: The kind of model.
        epoch: Whole epochs.
    """

    base_model: str
    task: str
    metric: str | None = None
    concept: str | None = None
    kind: Kind = BASE
    epoch: int = 0

    def is_of(self, run: Run) -> bool:
        """Whether a run is one of the cell's seeds."""
        if run.base_model != self.base_model:
            return False
        if self.concept is None or run.is_base:
            return run.is_base and self.concept is None
        return (run.concept_label, run.kind) == (self.concept, self.kind)

    @property
    def published(self) -> float | None:
        """The published figure."""
        figure = published_figure(self.task, self.concept, self.kind.label, self.epoch or None)
        return figure.value if figure else None


@dataclass(frozen=True, slots=True)
class Value:
    """One number of one result file.

    Attributes:
        seed: Of the training; None of a base model.
        value: The metric.
        stderr: Its standard error over test samples; NaN if it has none.
        file: The result file, relative to the study's folder.
    """

    seed: int | None
    value: float
    stderr: float
    file: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        values: Ours, one per seed.
        published: The published figure, if there is one.
        comparable: Ours and theirs measure the same.
        problems: Why values are missing.
        seeds: How many values there should be.
        signed: The values are differences.
    """

    values: tuple[Value, ...] = ()
    published: float | None = None
    comparable: bool = False
    problems: tuple[str, ...] = ()
    seeds: int = 0
    signed: bool = False

    @property
    def estimate(self) -> Estimate | None:
        """Ours, over seeds."""
        if not self.values:
            return None
        return over_seeds([value.value for value in self.values], [value.stderr for value in self.values])

    @property
    def difference(self) -> float | None:
        """Ours minus the published figure."""
        estimate = self.estimate
        return None if estimate is None or self.published is None else estimate.value - self.published

    @property
    def agrees(self) -> bool | None:
        """Whether the published figure may lie in our interval, before it was rounded; None if that is unknown."""
        estimate, difference = self.estimate, self.difference
        if estimate is None or difference is None or not self.comparable or math.isnan(estimate.margin):
            return None
        return abs(difference) <= estimate.margin + _ROUNDING


class Cells:
    """Looks values up in a study's folder; each file is read once.

    Args:
        study: The study.
        folder: Its folder.
    """

    def __init__(self, study: Study, folder: StudyFolder) -> None:
        self.study, self.folder = study, folder
        self.runs = runs_of(study)
        self._results = cache(folder.results)
        self._training = cache(folder.training)
        self._report = cache(read_results)
        self._paired_difference = cache(paired_difference)  # tables and findings show the same ones

    def training(self, run: Run) -> TrainingRecord | None:
        """How a run's training went, of an interpolated model that of its end; None if nothing is or was trained."""
        record: TrainingRecord | None = None
        if not run.is_base or self.study.base_training:
            record = self._training(run.finetuned)
        return record

    def results(self, run: Run, step: int, task: str) -> Results | None:
        """The results of a checkpoint on a task."""
        results: Results | None = self._results(run, step, task)
        return results

    def cell(self, key: CellKey) -> Cell | None:
        """The cell of a kind of model; None if the study has no such models."""
        runs = [run for run in self.runs if key.is_of(run)]
        if not runs:
            return None
        found = [self._value(run, key) for run in runs]
        values = tuple(value for value in found if isinstance(value, Value))
        problems = dict.fromkeys(problem for problem in found if isinstance(problem, str))
        published = key.published if self.study.published_by else None
        return Cell(values, published, self.study.comparable, tuple(problems), len(runs))

    def values(self, key: CellKey) -> tuple[Value, ...]:
        """The values of a cell, one per seed."""
        cell = self.cell(key)
        return cell.values if cell else ()

    def gain(self, key: CellKey, other: CellKey) -> Cell | None:
        """The difference of two kinds of models, first minus second, paired by seed and by test sample.

        None if the study has no such models.
        """
        runs = [run for run in self.runs if key.is_of(run)]
        others = {run.seed: run for run in self.runs if other.is_of(run)}
        if not runs or not others:
            return None
        values, problems = list[Value](), dict[str, None]()
        for run in runs:
            against = others[run.seed if run.seed in others else min(others)]  # a base model has one seed for all
            first, second = self._value(run, key), self._value(against, other)
            if isinstance(first, Value) and isinstance(second, Value):
                values.append(self._paired(key, run, first, second))
            problems.update(dict.fromkeys(one for one in (first, second) if isinstance(one, str)))
        return Cell(tuple(values), None, False, tuple(problems), len(runs), signed=True)

    def _paired(self, key: CellKey, run: Run, first: Value, second: Value) -> Value:
        """One seed's difference."""
        files = [self.folder.path / value.file for value in (first, second)]
        report = self._report(files[0]).tasks[key.task]
        metric = key.metric or report.primary_metric
        difference, stderr = self._paired_difference(*files, key.task, report.task_type, metric)
        return Value(run.seed, difference, stderr, first.file)

    def blind(self, key: CellKey) -> Cell | None:
        """What the best rule that sees no image has on a task; None if the task has no such rule."""
        base = next(run for run in self.runs if run.is_base and run.base_model == key.base_model)
        results = self.results(base, 0, key.task)
        if results is None or results.failed:
            return None
        report = results.tasks[key.task]
        value = report.blind_floor(key.metric or report.primary_metric)
        if value is None:
            return None
        file = self.folder.scores(base, 0, key.task).relative_to(self.folder.path).as_posix()
        return Cell((Value(None, value, math.nan, file),), seeds=1)

    def _value(self, run: Run, key: CellKey) -> Value | str:
        """A run's number, or why there is none."""
        step = 0 if run.is_base else self._step(run, key.epoch)
        if isinstance(step, str):
            return step
        results = self.results(run, step, key.task)
        if results is None:
            return f"{run.name}: {key.task} not scored yet"
        report = results.tasks[key.task]
        if report.error:
            return report.error
        name = key.metric or report.primary_metric
        measure = report.metrics.get(name)
        if measure is None:
            return f"{run.name}: {key.task} has no {name}"
        file = self.folder.scores(run, step, key.task).relative_to(self.folder.path).as_posix()
        stderr = math.nan if measure.stderr is None else measure.stderr
        return Value(None if run.is_base else run.seed, measure.value, stderr, file)

    def _step(self, run: Run, epoch: int) -> int | str:
        """The step of the checkpoint after a whole epoch, or why there is none."""
        record = self.training(run)
        if record is None:
            return f"{run.name}{NOT_TRAINED}"
        if not record.is_finished:
            return f"{run.name}: {record.error}"
        steps = {abs(at - epoch): step for step, at in record.checkpoints if is_whole(at) and round(at) == epoch}
        return steps[min(steps)] if steps else f"{run.name}: no checkpoint after epoch {epoch}"
