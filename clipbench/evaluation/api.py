"""The evaluation as a function of Python: ``clipbench.evaluate``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.errors import ConfigError, ResultError
from clipbench.evaluation.options import EvaluationOptions, Progress, ignore_progress
from clipbench.evaluation.preparation import prepare_tasks
from clipbench.evaluation.progress_bars import in_notebook, progress_bars
from clipbench.evaluation.runner import EvaluationRun
from clipbench.models import check_name, load_model, model_name
from clipbench.results import Results, ResultsDirectory
from clipbench.results.trackers import report_results
from clipbench.types import SampleResult
from clipbench.utils.distributed import started_processes
from clipbench.utils.trackers import check_trackers

if TYPE_CHECKING:
    from clipbench.task_types.base import Task

# Notes are shown by programs that ask for them: logging.basicConfig(level="INFO").
_LOGGER = logging.getLogger("clipbench")
_log_note = _LOGGER.info


def evaluate(
    model: object,
    tasks: str | Sequence[str | Task | type[Task]],
    *,
    model_args: Mapping[str, object] | None = None,
    name: str | None = None,
    output_path: str | Path | None = None,
    log_samples: bool = False,
    resume: bool = True,
    profile: bool = False,
    progress: bool | None = None,
    report_to: Sequence[str] = (),
    on_progress: Progress = ignore_progress,
    on_note: Callable[[str], None] = _log_note,
    on_sample: Callable[[str, SampleResult], None] | None = None,
    **options: Any,
) -> Results:
    """Score a model on tasks; under ``torchrun`` the processes share the work, and each gets all results.

    Examples:
        >>> import clipbench
        >>> results = clipbench.evaluate("demo", "scenes_color", limit=20)
        >>> results.failed
        []

    Args:
        model: What ``clipbench.load_model`` takes: a name or path, or a model in memory.
        tasks: Names, groups, tags, globs or YAML files, as a list or joined by commas; or tasks themselves.
        model_args: Passed to ``clipbench.load_model``: ``device``, ``dtype``, ``revision``, …
        name: What the results call the model; by default its id.
        output_path: Folder for results, as ``clipbench eval`` writes them. A call that was ended before it was
            finished is resumed by the same call.
        log_samples: Also write every sample's texts and scores; needs ``output_path``.
        resume: Resume an unfinished run in ``output_path``; otherwise start over.
        profile: Report in ``results.profile`` where the time went.
        progress: Show a progress bar, in a terminal or a notebook; by default in a notebook only.
        report_to: Trackers that get the scores: ``wandb``, ``trackio``, ``mlflow``, …; where one fails, an error
            is logged.
        on_progress: Called with a task's name, samples done, and samples in all if known.
        on_note: Called with one line that a user may want to know: resumed, not cacheable, … By default it is logged.
        on_sample: Called with a task's name and each of its sample results.
        **options: The fields of ``EvaluationOptions``: ``data``, ``batch_size``, ``limit``, ``use_cache``, …

    Returns:
        The results. A task that failed has ``results.tasks[name].error`` set; the others have their numbers.

    Raises:
        UnknownName: A task, group, concept or model is unknown.
        ModelTypeError: ``model`` is nothing that a model may be.
        ConfigError: An option, task file or plug-in is invalid, ``output_path`` cannot be written to, or a tracker is
            unknown or not installed.
        ModelError: The model cannot be loaded.
        ResultError: Results cannot be written. Calling again resumes at the end.
        ProcessesError: Another process failed or is lost.
    """
    if log_samples and output_path is None:
        raise ConfigError("log_samples needs output_path")
    chosen = EvaluationOptions(**options)
    check_name(model)
    check_trackers(report_to)
    with ExitStack() as stack:
        processes = stack.enter_context(started_processes())
        if (in_notebook() if progress is None else progress) and processes.is_main:
            on_progress = _both(stack.enter_context(progress_bars()), on_progress)
        directory = None
        if output_path is not None and processes.is_main:
            directory = ResultsDirectory(Path(output_path), name or model_name(model, model_args or {}), datetime.now())
        prepared = prepare_tasks(tasks, chosen, on_progress)
        results = EvaluationRun(
            load_model(model, model_args={"device": processes.device, **(model_args or {})}),
            prepared,
            chosen,
            name=name,
            directory=directory,
            log_samples=log_samples,
            resume=resume,
            profile=profile,
            processes=processes,
            on_progress=on_progress,
            on_note=on_note,
            on_sample=on_sample,
        ).run()
        if processes.is_main:
            _report(results, report_to, Path(output_path or "."))
        return results


def _report(results: Results, trackers: Sequence[str], folder: Path) -> None:
    """Log to trackers; one that fails does not take the results away."""
    try:
        report_results(results, trackers, folder)
    except ResultError as error:
        _LOGGER.error("%s", error)


def _both(one: Progress, other: Progress) -> Progress:
    def advance(name: str, done: int, total: int | None) -> None:
        one(name, done, total)
        other(name, done, total)

    return advance
