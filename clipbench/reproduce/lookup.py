"""The cells of a study's tables: ours over all seeds, the published figure, and what their difference says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from clipbench.reproduce.folder import StudyFolder, Trained
from clipbench.reproduce.intervals import Number, over_seeds
from clipbench.reproduce.schedule import Run, is_whole, runs_of
from clipbench.reproduce.study import Study
from clipbench.results import Results

_ROUNDING = 0.005  # published figures have two digits


@dataclass(frozen=True, slots=True)
class Value:
    """One number of one result file.

    Attributes:
        seed: Of the training; None of a base model.
        value: The metric.
        stderr: Its standard error over test samples; NaN where it has none.
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
        values: Ours, one a seed.
        published: The published figure; None where there is none.
        comparable: Ours and theirs measure the same.
        problems: Why values are missing; empty where none is.
        seeds: How many values there should be.
    """

    values: tuple[Value, ...] = ()
    published: float | None = None
    comparable: bool = False
    problems: tuple[str, ...] = ()
    seeds: int = 0

    @property
    def number(self) -> Number | None:
        """Ours, over seeds."""
        if not self.values:
            return None
        return over_seeds([value.value for value in self.values], [value.stderr for value in self.values])

    @property
    def difference(self) -> float | None:
        """Ours less the published figure."""
        number = self.number
        return None if number is None or self.published is None else number.value - self.published

    @property
    def agrees(self) -> bool | None:
        """Whether the published figure, before it was rounded, may lie in our interval; None where nobody can say."""
        number, difference = self.number, self.difference
        if number is None or difference is None or not self.comparable or math.isnan(number.reach):
            return None
        return abs(difference) <= number.reach + _ROUNDING


class Cells:
    """Looks values up in a study's folder, each file read once.

    Args:
        study: The study.
        folder: Its folder.
    """

    def __init__(self, study: Study, folder: StudyFolder) -> None:
        self.study, self.folder = study, folder
        self.runs = runs_of(study)
        self._results = cache(folder.results)
        self._trained = cache(folder.trained)

    def trained(self, run: Run) -> Trained | None:
        """How a run's training went."""
        found: Trained | None = self._trained(run)
        return found

    def results(self, run: Run, step: int, task: str) -> Results | None:
        """The results of a checkpoint on a task."""
        found: Results | None = self._results(run, step, task)
        return found

    def cell(
        self,
        base: str,
        concept: str,
        negatives: int | None,
        epoch: int,
        task: str,
        metric: str | None,
        published: float | None,
    ) -> Cell:
        """A kind of model after an epoch on a task.

        Args:
            base: The base model.
            concept: The concept's label.
            negatives: Of the kind; None for the base model itself.
            epoch: Whole epochs.
            task: The task.
            metric: Of it; None for its primary one.
            published: The published figure.
        """
        runs = [
            run
            for run in self.runs
            if run.base_model == base
            and (
                run.is_base
                if negatives is None
                else (run.concept_label, run.negatives) == (concept, negatives) and not run.is_base
            )
        ]
        found = [self.value(run, epoch, task, metric) for run in runs]
        values = tuple(value for value in found if isinstance(value, Value))
        problems = dict.fromkeys(problem for problem in found if isinstance(problem, str))
        if not runs:
            return Cell(published=published)
        return Cell(values, published, self.study.comparable, tuple(problems), len(runs))

    def value(self, run: Run, epoch: int, task: str, metric: str | None) -> Value | str:
        """A run's number, or why there is none."""
        step = 0
        if not run.is_base:
            trained = self.trained(run)
            if trained is None:
                return f"{run.name}: not trained yet"
            if trained.status == "failed":
                return f"{run.name}: {trained.error}"
            made = {abs(at - epoch): step for step, at in trained.checkpoints if is_whole(at) and round(at) == epoch}
            if not made:
                return f"{run.name}: no checkpoint after epoch {epoch}"
            step = made[min(made)]
        results = self.results(run, step, task)
        if results is None:
            return f"{run.name}: {task} not scored yet"
        report = results.tasks[task]
        if report.error:
            return report.error
        name = metric or report.primary_metric
        measure = report.metrics.get(name)
        if measure is None:
            return f"{run.name}: {task} has no {name}"
        file = self.folder.scores(run, step, task).relative_to(self.folder.path).as_posix()
        stderr = math.nan if measure.stderr is None else measure.stderr
        return Value(None if run.is_base else run.seed, measure.value, stderr, file)


def mean_of(values: Sequence[float]) -> float:
    """The plain mean."""
    return math.fsum(values) / len(values)
