"""Evaluation: tasks and a model in, typed results out. Prints nothing.

Not called ``evaluate``: importing a module of that name would replace the function :func:`clipbench.evaluate`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipbench.errors import ClipbenchError, DataError
from clipbench.families.task import Task
from clipbench.metrics import ClusteredMean
from clipbench.plugins import select_tasks
from clipbench.report import assemble_results
from clipbench.results import Results, SampleSink
from clipbench.samples import Outcome, Unscored
from clipbench.sources import Source, open_source
from clipbench.sources.location import parse_location
from clipbench.survey import Survey, new_survey, scorable_samples, survey_task

if TYPE_CHECKING:
    from clipbench.models import Model
    from clipbench.scoring import Scorer

Progress = Callable[[str, int, int], None]
"""Called with a task's name, samples done, and samples in all."""


@dataclass(frozen=True)
class EvaluationOptions:
    """How a run is done; stored with its results.

    Attributes:
        data: Dataset name to a local path or ``hub:owner/name[@revision][:split]``.
        batch_size: Items through an encoder at once, or ``auto``.
        limit: Score at most so many samples a task.
        allow_missing: Score what is there where data is incomplete, and say so in the results.
        streaming: Read hub data as it comes, without keeping it on disk.
        workers: Threads that decode images ahead.
        seed: Set before scoring, for plugins that draw; clipbench itself draws nothing.
    """

    data: Mapping[str, str] = field(default_factory=dict)
    batch_size: int | str = "auto"
    limit: int | None = None
    allow_missing: bool = False
    streaming: bool = False
    workers: int = 2
    seed: int = 0


@dataclass
class TaskResult:
    """One task's numbers.

    Attributes:
        task: The task.
        survey: What its data held.
        metrics: Metric to its mean over samples, with the standard error.
        breakdown: Part of the task to the mean of the primary metric.
        tied: Samples where an equal score withheld the win.
        truncated_texts: Texts cut to the model's context.
        source: Where the rows came from; None where that failed.
        error: Why the task failed, in one line.
        seconds: Wall time.
    """

    task: Task
    survey: Survey
    metrics: dict[str, ClusteredMean] = field(default_factory=dict)
    breakdown: dict[str, ClusteredMean] = field(default_factory=dict)
    tied: int = 0
    truncated_texts: int = 0
    source: Source | None = None
    error: str | None = None
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one outcome in."""
        for name, value in outcome.values.items():
            self.metrics.setdefault(name, ClusteredMean()).add(value, outcome.cluster)
        if self.task.primary_metric in outcome.values:
            part = self.breakdown.setdefault(outcome.group, ClusteredMean())
            part.add(outcome.values[self.task.primary_metric], outcome.cluster)
        self.tied += outcome.tied


class Sources:
    """The datasets of a run, each opened once.

    Raises:
        DataError: ``data`` names a dataset that no task of the run uses.
        ConfigError: A location makes no sense.
    """

    def __init__(self, tasks: Iterable[Task], options: EvaluationOptions) -> None:
        datasets = {task.dataset.name: task.dataset for task in tasks}
        for name in options.data:
            if name not in datasets:
                known = ", ".join(sorted(datasets))
                raise DataError(f"--data {name}=…: no chosen task reads {name!r}; they read {known}")
        self._places = {
            name: parse_location(dataset, options.data.get(name, dataset.path)) for name, dataset in datasets.items()
        }
        self._streaming = options.streaming
        self._opened: dict[str, Source] = {}

    def of(self, task: Task) -> Source:
        """The source of a task's rows.

        Raises:
            DataError: It cannot be opened.
        """
        name = task.dataset.name
        if name not in self._opened:
            dataset, location = self._places[name]
            self._opened[name] = open_source(dataset, location, streaming=self._streaming)
        return self._opened[name]


@dataclass(frozen=True)
class Plan:
    """A task whose data has been looked at."""

    task: Task
    source: Source | None
    survey: Survey
    error: str | None = None


def plan_tasks(tasks: Iterable[Task], options: EvaluationOptions) -> Iterator[Plan]:
    """Open each task's data and go through it, so that what is missing is known before a model is loaded.

    A task whose data cannot be used gets a plan that says why; the others go on.
    """
    tasks = list(tasks)
    sources = Sources(tasks, options)
    for task in tasks:
        source = None
        try:
            source = sources.of(task)
            survey = survey_task(task, source, limit=options.limit)
        except ClipbenchError as error:
            yield Plan(task, source, new_survey(task, source), f"{task.name}: {error}")
            continue
        failures = survey.failures
        if failures and not (options.allow_missing and survey.scorable):
            hint = "; pass --allow_missing to score what is there" if survey.scorable else ""
            hint += f" ({task.note})" if task.note else ""
            yield Plan(task, source, survey, f"{task.name}: {'; '.join(failures)}{hint}")
        else:
            yield Plan(task, source, survey)


def run_plan(
    plan: Plan,
    scorer: Scorer,
    options: EvaluationOptions,
    sink: AbstractContextManager[SampleSink | None] | None = None,
    on_progress: Progress | None = None,
) -> TaskResult:
    """Score one task.

    Args:
        plan: The task and its data.
        scorer: The engine with the model.
        options: The run's options.
        sink: A context whose value takes the outcomes; it is left in error where the task fails.
        on_progress: Told how far it is.

    Returns:
        The result; where the task failed, with an error instead of numbers.
    """
    started = time.perf_counter()
    result = TaskResult(plan.task, plan.survey, source=plan.source, error=plan.error)
    if plan.error is None and plan.source is not None:
        _seed(options.seed)
        truncated = scorer.truncated_texts
        try:
            with sink or nullcontext() as take:
                _score(result, plan.source, scorer, options, take, on_progress)
        except ClipbenchError as error:
            result.metrics, result.breakdown = {}, {}
            result.error = f"{plan.task.name}: {error}"
        result.truncated_texts = scorer.truncated_texts - truncated
        if result.survey.broken and not options.allow_missing and result.error is None:
            result.error = f"{plan.task.name}: {'; '.join(result.survey.failures)}; pass --allow_missing to accept that"
    result.seconds = time.perf_counter() - started
    return result


def _seed(seed: int) -> None:
    """Seed what a plugin may draw from, anew for each task, so that the order of tasks does not matter."""
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # plugins draw from the global generator too
    torch.manual_seed(seed)


def _score(
    result: TaskResult,
    source: Source,
    scorer: Scorer,
    options: EvaluationOptions,
    take: SampleSink | None,
    on_progress: Progress | None,
) -> None:
    survey, done = new_survey(result.task, source, options.limit), 0
    samples = scorable_samples(result.task, source, survey, options.limit)
    expected = result.survey.scorable
    for outcome in result.task.outcomes(samples, scorer, source.provenance.fingerprint):
        done += 1
        if on_progress:
            on_progress(result.task.name, min(done, expected), expected)
        if isinstance(outcome, Unscored):
            survey.broken[outcome.image] = outcome.reason
            survey.scorable -= 1
            continue
        result.add(outcome)
        if take:
            take(outcome)
    result.survey = survey


def evaluate(
    model: Model | str,
    tasks: str | Sequence[str | Task | type[Task]],
    *,
    data: Mapping[str, str] | None = None,
    model_args: Mapping[str, object] | None = None,
    device: str | None = None,
    dtype: str | None = None,
    trust_remote_code: bool = False,
    include_path: Sequence[str | Path] = (),
    on_outcome: Callable[[str, Outcome], None] | None = None,
    on_progress: Progress | None = None,
    **options: object,
) -> Results:
    """Score a model on tasks.

    Args:
        model: A loaded model, or what :func:`clipbench.load_model` takes.
        tasks: Names, groups, tags, globs or YAML files, as a list or joined by commas; or tasks themselves.
        data: Dataset name to a local path, as ``--data`` takes it.
        model_args: Passed to :func:`clipbench.load_model`.
        device: Likewise.
        dtype: Likewise.
        trust_remote_code: Likewise.
        include_path: Files or folders with task classes or YAML tasks.
        on_outcome: Called with a task's name and each of its outcomes.
        on_progress: Called with a task's name, samples done, and samples in all.
        **options: Further fields of :class:`EvaluationOptions`: ``batch_size``, ``limit``, ``allow_missing``, …

    Returns:
        The results. A task that failed has ``results.tasks[name].error`` set; the others have their numbers.

    Raises:
        UnknownName: A task, group, concept or model that is not there.
        ConfigError: A task file or plugin that makes no sense.
        ModelError: The model cannot be loaded.
    """
    from clipbench.models import load_model
    from clipbench.scoring import Scorer

    chosen = EvaluationOptions(data=data or {}, **options)  # type: ignore[arg-type]  # checked by the dataclass
    started = time.time()
    plans = list(plan_tasks(select_tasks(tasks, include_path), chosen))
    if isinstance(model, str):
        model = load_model(
            model, model_args=model_args, device=device, dtype=dtype, trust_remote_code=trust_remote_code
        )
    results = []
    with Scorer(model, chosen.batch_size, chosen.workers) as scorer:
        for plan in plans:
            sink = None
            if on_outcome:
                take = _sink(plan.task.name, on_outcome)
                sink = nullcontext(take)
            results.append(run_plan(plan, scorer, chosen, sink, on_progress))
    return assemble_results(results, model, chosen, started)


def _sink(task: str, on_outcome: Callable[[str, Outcome], None]) -> SampleSink:
    return lambda outcome: on_outcome(task, outcome)
