"""Scoring one task after another with one engine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from clipbench.evaluation.options import EvaluationOptions, OnEncoded, Progress, ignore_encoded, ignore_progress
from clipbench.evaluation.preparation import PreparedTask, reject_reason
from clipbench.evaluation.task_totals import TaskTotals
from clipbench.types import SampleError, SampleResult
from clipbench.utils.text import format_error

if TYPE_CHECKING:
    from clipbench.data import Source
    from clipbench.inference.scorer import Scorer

_RANKED = 256  # queries between two reports

SampleSink = Callable[[SampleResult], None]


def score_tasks(
    tasks: Sequence[PreparedTask],
    scorer: Scorer,
    options: EvaluationOptions,
    open_sink: Callable[[PreparedTask], AbstractContextManager[SampleSink | None]] = lambda prepared: nullcontext(),
    on_progress: Progress = ignore_progress,
    on_encoded: OnEncoded = ignore_encoded,
) -> Iterator[TaskTotals]:
    """Score tasks one after another. A task that fails has an error, and the others go on.

    Args:
        tasks: The tasks and their data.
        scorer: The engine with the model.
        options: The run's options.
        open_sink: Gives a context that receives a task's sample results; it is left by an exception where the
            task fails.
        on_progress: Called with a task's name, samples done, and samples in all if known.
        on_encoded: Called with the images and the texts that were encoded so far.

    Yields:
        Each task's numbers. Those computed before images turned out to be broken are kept with the error.
    """
    for number, prepared in enumerate(tasks):
        task = prepared.task
        later = {id(other.source) for other in tasks[number + 1 :] if other.error is None}
        on_progress(task.name, 0, None)
        scorer.begin(
            task.name,
            images_return=id(prepared.source) in later,
            language=task.language,
            on_progress=partial(_report, prepared, scorer, on_progress, on_encoded),
        )
        started = time.perf_counter()
        totals = _score_task(prepared, scorer, options, open_sink(prepared), on_progress)
        totals.seconds = time.perf_counter() - started
        yield totals


def _report(prepared: PreparedTask, scorer: Scorer, on_progress: Progress, on_encoded: OnEncoded, done: int) -> None:
    on_progress(prepared.task.name, done, prepared.report.scorable or None)  # unknown where the data is streamed
    on_encoded(scorer.profile.images, scorer.profile.texts)


def _score_task(
    prepared: PreparedTask,
    scorer: Scorer,
    options: EvaluationOptions,
    sink: AbstractContextManager[SampleSink | None],
    on_progress: Progress,
) -> TaskTotals:
    task, source = prepared.task, prepared.source
    if prepared.error is not None or source is None:
        return TaskTotals(task, prepared.report, source, error=prepared.error)
    _seed(options.seed)
    report = prepared.report.again(needs_images=scorer.model.opens_images)
    totals = TaskTotals(task, report, source)
    truncated, scored = scorer.truncated_texts, False
    try:
        with scorer.profile.stage("score"), sink as write:
            _score_samples(totals, source, scorer, write, on_progress)
            scored = True
    except Exception as error:  # a plug-in's task may raise anything; the other tasks go on
        if not scored:
            totals = TaskTotals(task, prepared.report, source)
        totals.error = f"{task.name}: {format_error(error)}"
    totals.truncated_texts = scorer.truncated_texts - truncated
    totals.error = totals.error or reject_reason(totals.report, options)
    return totals


def _seed(seed: int) -> None:
    """Seed what a plug-in may draw from, for each task again, so that the order of tasks does not matter."""
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # plug-ins draw from the global generator too
    torch.manual_seed(seed)


def _score_samples(
    totals: TaskTotals,
    source: Source,
    scorer: Scorer,
    write: SampleSink | None,
    on_progress: Progress,
) -> None:
    task = totals.task
    samples = totals.report.track(task.samples(source))
    # Keys of images are unique within their source; two sources may hold the same key for different images.
    for done, result in enumerate(task.outcomes(samples, scorer, namespace=str(id(source))), 1):
        if task.whole_set and done % _RANKED == 0:
            on_progress(f"{task.name}: ranking", done, None)
        if isinstance(result, SampleError):
            totals.report.add_error(result)
            continue
        totals.add(result)
        if write:
            with scorer.profile.stage("write"):
                write(result)
    totals.settle()
    totals.blind = totals.report.blind_scores()
