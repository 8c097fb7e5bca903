"""What a run is to do: its options, its datasets, and each task's data gone through beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from clipbench.data import Dataset, Source, open_source
from clipbench.data.location import parse_location
from clipbench.errors import ConfigError, UnknownName
from clipbench.evaluation.data_report import DataReport, new_data_report, validate_task
from clipbench.task_types.base import Task
from clipbench.utils.registry import close_matches
from clipbench.utils.text import format_error

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is, and how much there is in all if that is known."""


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
        seed: Set before each task, for plugins that draw; clipbench itself draws nothing.
        include_path: Files or folders with further tasks.
        use_cache: Folder of the persistent cache of embeddings; None for none. Results are the same with and without.

    Raises:
        ConfigError: A value makes no sense.
    """

    data: Mapping[str, str] = field(default_factory=dict)
    batch_size: int | str = "auto"
    limit: int | None = None
    allow_missing: bool = False
    streaming: bool = False
    workers: int = 2
    seed: int = 0
    include_path: tuple[str | Path, ...] = ()
    use_cache: str | Path | None = None

    def __post_init__(self) -> None:
        if self.batch_size != "auto" and not (isinstance(self.batch_size, int) and self.batch_size >= 1):
            raise ConfigError(f"batch_size {self.batch_size!r}: give a positive number or auto")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit {self.limit}: give a positive number")
        if self.workers < 1:
            raise ConfigError(f"workers {self.workers}: give a positive number")
        if self.use_cache is not None and Path(self.use_cache).exists() and not Path(self.use_cache).is_dir():
            raise ConfigError(f"use_cache {self.use_cache}: is a file: give a folder")


class Sources:
    """The datasets of a run, each opened once.

    Raises:
        UnknownName: ``data`` names a dataset that no task of the run uses.
        ConfigError: A location makes no sense.
    """

    def __init__(self, tasks: Iterable[Task], options: EvaluationOptions) -> None:
        datasets = {task.dataset.name: task.dataset for task in tasks}
        for name in options.data:
            if name not in datasets:
                known = ", ".join(sorted(datasets))
                near = close_matches(name, datasets)
                raise UnknownName(f"--data {name}=…: no chosen task reads {name!r}{near}; they read {known}")
        self._places = {
            name: parse_location(dataset, options.data.get(name, dataset.path)) for name, dataset in datasets.items()
        }
        self._streaming = options.streaming
        self._opened: dict[tuple[Dataset, str | None], Source] = {}

    def of(self, task: Task) -> Source:
        """The source of a task's rows; tasks that declare the same data share it.

        Raises:
            DataError: It cannot be opened.
        """
        dataset, place = self._places[task.dataset.name]
        key = replace(dataset, name=""), place
        if key not in self._opened:
            self._opened[key] = open_source(dataset, place, streaming=self._streaming)
        return self._opened[key]


@dataclass(frozen=True)
class PreparedTask:
    """A task whose data has been looked at.

    Attributes:
        task: The task.
        source: Its rows; None where they cannot be had.
        survey: What is in them; empty in a streaming run, where looking would fetch everything twice.
        error: Why the task cannot be scored, in one line.
    """

    task: Task
    source: Source | None
    survey: DataReport
    error: str | None = None


def prepare_tasks(
    tasks: Iterable[Task], options: EvaluationOptions, on_progress: Progress | None = None
) -> Iterator[PreparedTask]:
    """Open each task's data and go through it, so that what is missing is known before a model is loaded.

    A task whose data cannot be used gets a plan that says why; the others go on.

    Raises:
        UnknownName: The options name data that no task reads.
        ConfigError: A location makes no sense.
    """
    tasks = list(tasks)
    sources = Sources(tasks, options)
    for task in tasks:
        source = None
        try:
            source = sources.of(task)
            if options.streaming:
                yield PreparedTask(task, source, new_data_report(task, source, options.limit))
                continue
            survey = validate_task(task, source, limit=options.limit, on_progress=on_progress)
        except Exception as error:  # a plugin's task may raise anything; the other tasks go on
            yield PreparedTask(task, source, new_data_report(task, source), f"{task.name}: {format_error(error)}")
            continue
        yield PreparedTask(task, source, survey, reject_reason(task, survey, options))


def reject_reason(task: Task, survey: DataReport, options: EvaluationOptions) -> str | None:
    """Why a task must not be scored on such data, in one line; None where it may."""
    failures = survey.failures
    if not failures or (options.allow_missing and survey.scorable):
        return None
    hint = "; pass --allow_missing to score what is there" if survey.scorable else ""
    note = f" ({task.note})" if task.note else ""
    return f"{task.name}: {'; '.join(failures)}{hint}{note}"
