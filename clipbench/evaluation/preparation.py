"""The data of a run: each dataset opened once, and each task's samples checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from clipbench.data import Dataset, Source, open_source
from clipbench.data.location import parse_location
from clipbench.errors import ConfigError, UnknownName
from clipbench.evaluation.data_report import DataReport, sample_limit, validate_task
from clipbench.evaluation.options import EvaluationOptions, Progress, ignore_progress
from clipbench.task_types.base import Task
from clipbench.task_types.registry import select_tasks
from clipbench.utils.registry import close_matches
from clipbench.utils.text import format_error


class DataSources:
    """The datasets of a run, each opened once.

    Raises:
        UnknownName: ``data`` names a dataset that no task of the run uses.
        ConfigError: A location is invalid, or two data sets have one name.
    """

    def __init__(self, tasks: Sequence[Task], options: EvaluationOptions) -> None:
        datasets: dict[str, Dataset] = {}
        for task in tasks:
            if not _agree(datasets.setdefault(task.dataset.name, task.dataset), task.dataset):
                raise ConfigError(
                    f"task {task.name!r}: another task declares another data set named {task.dataset.name!r}:"
                    " rename one of them"
                )
        for name in options.data:
            if name not in datasets:
                known = ", ".join(sorted(datasets))
                near = close_matches(name, datasets)
                raise UnknownName(f"data {name}=…: no selected task reads {name!r}{near}; they read {known}")
        self._data = dict(options.data)
        for task in tasks:
            self._place(task)  # raises now rather than when the task's turn comes
        self._streaming = options.streaming
        self._opened: dict[tuple[Dataset, str | None], Source] = {}

    def source_for(self, task: Task) -> Source:
        """The source of a task's rows; tasks that declare the same data share it.

        Raises:
            DataError: It cannot be opened.
        """
        dataset, place = self._place(task)
        key = replace(dataset, name=""), place
        if key not in self._opened:
            self._opened[key] = open_source(dataset, place, streaming=self._streaming)
        return self._opened[key]

    def _place(self, task: Task) -> tuple[Dataset, str | None]:
        return parse_location(task.dataset, self._data.get(task.dataset.name, task.dataset.path))


def _agree(one: Dataset, other: Dataset) -> bool:
    """Whether both are the same data set, two of its splits, or parts of one with separate repositories on the hub."""
    if _without_split(one) == _without_split(other):
        return True
    parts = {dataset.hub.constants for dataset in (one, other) if dataset.hub and dataset.hub.constants}
    return len(parts) == 2 and replace(one, hub=None) == replace(other, hub=None)


def _without_split(dataset: Dataset) -> Dataset:
    """What the splits of one data set share."""
    return replace(dataset, title="", hub=dataset.hub and replace(dataset.hub, split=""))


@dataclass(frozen=True)
class PreparedTask:
    """A task whose data has been checked.

    Attributes:
        task: The task.
        source: Its rows; None where they cannot be opened.
        report: What the data holds; empty in a streaming run, where checking would fetch everything twice.
        error: Why the task cannot be scored, in one line.
    """

    task: Task
    source: Source | None
    report: DataReport
    error: str | None = None


def prepare_tasks(
    tasks: str | Sequence[str | Task | type[Task]],
    options: EvaluationOptions,
    on_progress: Progress = ignore_progress,
    *,
    limits: Mapping[str, int | float] | None = None,
) -> list[PreparedTask]:
    """Open each task's data and check it, so that gaps are known before a model is loaded.

    A task whose data cannot be used is prepared with an error; the others go on.

    Args:
        tasks: Names, groups, tags, globs or YAML files, as a list or joined by commas; or tasks themselves.
        options: The run's options.
        on_progress: Called with a task, samples read, and samples expected if known.
        limits: Tasks with a limit of their own, in place of the options'.

    Raises:
        UnknownName: A task or group is unknown, or the options name data that no task reads.
        ConfigError: A task file, plug-in or location is invalid.
    """
    selected = select_tasks(tasks, options.include_path)
    sources = DataSources(selected, options)
    own = [replace(options, limit=(limits or {}).get(task.name, options.limit)) for task in selected]
    return [_prepare(task, sources, chosen, on_progress) for task, chosen in zip(selected, own, strict=True)]


def _prepare(task: Task, sources: DataSources, options: EvaluationOptions, on_progress: Progress) -> PreparedTask:
    source = None
    on_progress(f"{task.name}: data", 0, None)
    try:
        source = sources.source_for(task)
        if options.streaming:
            limit = sample_limit(task, source, options.limit, streaming=True)
            return PreparedTask(task, source, DataReport(task, source, limit))
        report = validate_task(task, source, limit=options.limit, on_progress=on_progress)
    except Exception as error:  # a plug-in's task may raise anything; the other tasks go on
        return PreparedTask(task, source, DataReport(task, source), f"{task.name}: {format_error(error)}")
    return PreparedTask(task, source, report, reject_reason(report, options))


def without_images(prepared: PreparedTask, options: EvaluationOptions, *, blind: bool = False) -> PreparedTask:
    """The task for a model that opens no images: missing ones do not cause it to be refused.

    Args:
        prepared: The task, prepared for models that open images.
        options: The run's options.
        blind: The model has no information about images at all, so the task is refused if images compete.
    """
    task, source = prepared.task, prepared.source
    try:
        if blind and task.blind_rules() is None:
            error = (
                f"the model sees no image, and in {task.task_type} tasks images compete: use ranking or choice tasks"
            )
            return replace(prepared, error=f"{task.name}: {error}")
        if source is None or not prepared.report.missing:
            return prepared
        report = DataReport(task, source, prepared.report.limit, needs_images=False)
        for _ in report.track(task.samples(source)):
            pass
    except Exception as error:  # a plug-in's task may raise anything
        return replace(prepared, error=f"{task.name}: {format_error(error)}")
    return PreparedTask(task, source, report, reject_reason(report, options))


def reject_reason(report: DataReport, options: EvaluationOptions) -> str | None:
    """Why a task must not be scored on such data, in one line; None where it may."""
    failures, task = report.failures, report.task
    if not failures or (options.allow_missing and report.scorable):
        return None
    hint = "; pass allow_missing to score what is available" if report.scorable else ""
    note = f" ({task.note})" if task.note else ""
    return f"{task.name}: {'; '.join(failures)}{hint}{note}"
