"""Evaluation: tasks and a model in, typed results out. Prints nothing.

Not called ``evaluate``: importing a module of that name would replace the function :func:`clipbench.evaluate`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from clipbench.evaluation.assembly import assemble_results
from clipbench.evaluation.data_report import new_data_report, scorable_samples
from clipbench.evaluation.preparation import EvaluationOptions, PreparedTask, Progress, prepare_tasks, reject_reason
from clipbench.evaluation.task_totals import TaskTotals
from clipbench.results import Results
from clipbench.task_types.base import Task
from clipbench.task_types.registry import select_tasks
from clipbench.types import SampleError, SampleResult
from clipbench.utils.text import format_error

if TYPE_CHECKING:
    from clipbench.data import Source
    from clipbench.inference.scorer import Scorer
    from clipbench.models import Model

Take = Callable[[SampleResult], None]


def run_task(
    plan: PreparedTask,
    scorer: Scorer,
    options: EvaluationOptions,
    sink: AbstractContextManager[Take | None] | None = None,
    on_progress: Progress | None = None,
) -> TaskTotals:
    """Score one task.

    Args:
        plan: The task and its data.
        scorer: The engine with the model.
        options: The run's options.
        sink: A context whose value takes the outcomes; it is left in error where the task fails.
        on_progress: Told how far it is.

    Returns:
        The result; where the task failed, with an error. Numbers that were computed before images turned out to
        be broken stay beside the error.
    """
    started = time.perf_counter()
    result = TaskTotals(plan.task, plan.survey, source=plan.source, error=plan.error)
    if plan.error is None and plan.source is not None:
        _seed(options.seed)
        truncated, scored = scorer.truncated_texts, False
        try:
            with scorer.profile.stage("score"), sink or nullcontext() as take:
                _score(result, plan.source, scorer, options, take, on_progress)
                scored = True
        except Exception as error:  # a plugin's task may raise anything; the other tasks go on
            if not scored:
                result.metrics, result.breakdown = {}, {}
            result.error = f"{plan.task.name}: {format_error(error)}"
        result.truncated_texts = scorer.truncated_texts - truncated
        result.error = result.error or reject_reason(plan.task, result.survey, options)
    result.seconds = time.perf_counter() - started
    return result


def run_tasks(
    plans: Sequence[PreparedTask],
    scorer: Scorer,
    options: EvaluationOptions,
    sink: Callable[[PreparedTask], AbstractContextManager[Take | None]] | None = None,
    on_progress: Progress | None = None,
) -> Iterator[TaskTotals]:
    """Score tasks one after another, as :func:`run_task` does.

    Args:
        plans: The tasks and their data.
        scorer: The engine with the model.
        options: The run's options.
        sink: Gives the context whose value takes a task's outcomes.
        on_progress: Told how far it is.

    Yields:
        Each task's result when it is there.
    """
    for number, plan in enumerate(plans):
        later = {id(other.source) for other in plans[number + 1 :] if other.error is None}
        scorer.begin(plan.task.name, images_return=id(plan.source) in later)
        yield run_task(plan, scorer, options, sink(plan) if sink else None, on_progress)


def _seed(seed: int) -> None:
    """Seed what a plugin may draw from, anew for each task, so that the order of tasks does not matter."""
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # plugins draw from the global generator too
    torch.manual_seed(seed)


def _score(
    result: TaskTotals,
    source: Source,
    scorer: Scorer,
    options: EvaluationOptions,
    take: Take | None,
    on_progress: Progress | None,
) -> None:
    survey, done = new_data_report(result.task, source, options.limit), 0
    samples = scorable_samples(result.task, source, survey, options.limit)
    total = result.survey.scorable or None  # not known where the data is streamed
    # Keys of images are unique in their source; two sources may well hold the same key, and other images.
    for outcome in result.task.outcomes(samples, scorer, namespace=str(id(source))):
        done += 1
        if on_progress:
            on_progress(result.task.name, done, total)
        if isinstance(outcome, SampleError):
            survey.broken.add(outcome.image, outcome.reason)
            survey.scorable -= 1
            continue
        result.add(outcome)
        if take:
            with scorer.profile.stage("write"):
                take(outcome)
    result.survey = survey


class Evaluation:
    """Tasks whose data has been gone through once, to be scored with any number of models.

    Args:
        tasks: Names, groups, tags, globs or YAML files, as a list or joined by commas; or tasks themselves.
        options: How it is done.
        on_progress: Told how far going through the data is.

    Attributes:
        plans: The tasks with their data, in order.

    Raises:
        UnknownName: A task, group or concept that is not there.
        ConfigError: An option, task file or plugin that makes no sense.
    """

    def __init__(
        self,
        tasks: str | Sequence[str | Task | type[Task]],
        options: EvaluationOptions | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        self.options = options or EvaluationOptions()
        self.plans = list(prepare_tasks(select_tasks(tasks, self.options.include_path), self.options, on_progress))

    def score(
        self,
        model: Model,
        *,
        on_outcome: Callable[[str, SampleResult], None] | None = None,
        on_progress: Progress | None = None,
        on_note: Callable[[str], None] | None = None,
        asked: Mapping[str, object] | None = None,
    ) -> Results:
        """Score one model on all tasks.

        Args:
            model: The model, in evaluation mode.
            on_outcome: Called with a task's name and each of its outcomes.
            on_progress: Called with a task's name, samples done, and samples in all where that is known.
            on_note: Called with what the user may want to know of the cache of embeddings, a line each.
            asked: What the results say the user asked for, beside the options.

        Returns:
            The results. A task that failed has ``results.tasks[name].error`` set; the others have their numbers.
        """
        from clipbench.inference.embedding_cache import open_cache
        from clipbench.inference.scorer import Scorer

        started = time.time()
        cache = open_cache(model, self.options.use_cache, on_note)
        with Scorer(model, self.options.batch_size, self.options.workers, cache) as scorer:
            done = list(
                run_tasks(
                    self.plans,
                    scorer,
                    self.options,
                    lambda plan: nullcontext(_taker(plan.task.name, on_outcome)),
                    on_progress,
                )
            )
        return assemble_results(done, model, self.options, started, asked)


def evaluate(
    model: Model | str,
    tasks: str | Sequence[str | Task | type[Task]],
    *,
    model_args: Mapping[str, object] | None = None,
    on_outcome: Callable[[str, SampleResult], None] | None = None,
    on_progress: Progress | None = None,
    on_note: Callable[[str], None] | None = None,
    **options: Any,
) -> Results:
    """Score a model on tasks.

    Args:
        model: A loaded model, or what :func:`clipbench.load_model` takes.
        tasks: Names, groups, tags, globs or YAML files, as a list or joined by commas; or tasks themselves.
        model_args: Passed to :func:`clipbench.load_model`: ``device``, ``dtype``, ``revision``, …
        on_outcome: Called with a task's name and each of its outcomes.
        on_progress: Called with a task's name, samples done, and samples in all where that is known.
        on_note: Called with what the user may want to know of the cache of embeddings, a line each.
        **options: The fields of :class:`EvaluationOptions`: ``data``, ``batch_size``, ``limit``, ``allow_missing``, …

    Returns:
        The results. A task that failed has ``results.tasks[name].error`` set; the others have their numbers.

    Raises:
        UnknownName: A task, group, concept or model that is not there.
        ConfigError: An option, task file or plugin that makes no sense.
        ModelError: The model cannot be loaded.
    """
    from clipbench.models import load_model

    evaluation = Evaluation(tasks, EvaluationOptions(**options))
    if isinstance(model, str):
        model = load_model(model, model_args=model_args)
    return evaluation.score(model, on_outcome=on_outcome, on_progress=on_progress, on_note=on_note)


def _taker(task: str, on_outcome: Callable[[str, SampleResult], None] | None) -> Take | None:
    return (lambda outcome: on_outcome(task, outcome)) if on_outcome else None
