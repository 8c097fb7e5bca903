"""The results of a run in memory, and their way into a file and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from clipbench.errors import ResultError
from clipbench.results.display import results_html
from clipbench.results.files import sanitize
from clipbench.results.schema import SCHEMA_VERSION, ResultsFile, Row, RunRecord, SampleCounts, TaskReport, upgrade_v1
from clipbench.results.task_result import GroupResult, Measure, TaskResult
from clipbench.utils.json_files import read_json, validate
from clipbench.utils.text import excerpt

if TYPE_CHECKING:
    import pandas as pd


class Results(RunRecord):
    """What a run found.

    Attributes:
        tasks: Task to all that is known of it.
        groups: Groups that were run whole.
    """

    tasks: dict[str, TaskResult] = {}
    groups: dict[str, GroupResult] = {}
    _path: Path | None = PrivateAttr(None)

    @property
    def path(self) -> Path | None:
        """The file that they were read from or written to; None for results that are in memory only."""
        return self._path

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal, wherever the results lie."""
        return isinstance(other, Results) and vars(self) == vars(other)

    def _repr_html_(self) -> str:
        """How a notebook shows them."""
        return results_html(self)

    def metric(self, task: str, name: str) -> float:
        """A task's metric, NaN where it does not exist.

        Examples:
            >>> color = TaskResult(task_type="ranking", primary_metric="acc", metrics={"acc": Measure(0.5)})
            >>> Results(tasks={"coco_color": color}).metric("coco_color", "acc")
            0.5
        """
        measure = self.tasks[task].metrics.get(name)
        return math.nan if measure is None else measure.value

    @property
    def failed(self) -> list[str]:
        """Tasks that have no numbers, or numbers from incomplete data without ``allow_missing``."""
        return [name for name, task in self.tasks.items() if task.error is not None]

    def to_dataframe(self) -> pd.DataFrame:
        """A table with one row per task and metric; a task without numbers has one row of NaN.

        Columns: ``task``, ``metric``, ``value``, ``stderr``, ``n`` (samples scored), ``chance`` (for the primary metric
        only), ``blind`` (the best rule that sees no image), ``primary`` (whether it is the primary metric),
        ``version``, ``complete``, ``error``.
        """
        import pandas as pd

        rows = [
            {
                "task": name,
                "version": task.version,
                "metric": metric,
                "value": measure.value,
                "stderr": math.nan if measure.stderr is None else measure.stderr,
                "n": task.counts.effective,
                "chance": task.chance if metric == task.primary_metric and task.chance is not None else math.nan,
                "blind": math.nan if (blind := task.blind_floor(metric)) is None else blind,
                "primary": metric == task.primary_metric,
                "complete": task.complete,
                "error": task.error,
            }
            for name, task in self.tasks.items()
            for metric, measure in (task.metrics or {task.primary_metric: Measure(math.nan)}).items()
        ]
        columns = [
            "task",
            "metric",
            "value",
            "stderr",
            "n",
            "chance",
            "blind",
            "primary",
            "version",
            "complete",
            "error",
        ]
        return pd.DataFrame(rows, columns=columns)

    def to_json(self) -> str:
        """The file's text, in lm-evaluation-harness's layout."""
        tasks, groups = self.tasks, self.groups
        file = ResultsFile.model_construct(
            **{name: getattr(self, name) for name in RunRecord.model_fields},
            results={name: _row(name, task) for name, task in tasks.items()},
            groups={name: _group_row(name, group) for name, group in groups.items() if group.metric},
            group_subtasks={name: group.tasks for name, group in groups.items()},
            configs={name: task.declaration for name, task in tasks.items()},
            versions={name: task.version for name, task in tasks.items()},
            n_samples={name: task.counts for name, task in tasks.items()},
            higher_is_better={name: task.higher_is_better for name, task in tasks.items()},
            tasks={name: TaskReport.model_construct(**_fields(TaskReport, task)) for name, task in tasks.items()},
            model_name_sanitized=sanitize(self.model_name),
        )
        return file.model_dump_json(by_alias=True, indent=2) + "\n"


def read_results(path: Path) -> Results:
    """Read a result file of this or an earlier schema version.

    Raises:
        ResultError: It does not exist, is not JSON, was not written by clipbench, or has an impossible value; names the
            file and the field.
    """
    data = read_json(path, "result file")
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version is None:
        raise ResultError(f"{path}: not a clipbench result file (it has no schema_version)")
    if type(version) is not int or version not in (1, SCHEMA_VERSION):
        shown = excerpt(repr(version), 40)
        raise ResultError(f"{path}: schema version {shown}, this clipbench reads 1 to {SCHEMA_VERSION}")
    try:
        data = upgrade_v1(data) if version == 1 else data
    except (TypeError, ValueError, AttributeError) as error:  # a section that is not a mapping
        raise ResultError(f"{path}: not the content of schema version {version}: {error}") from None
    file = validate(ResultsFile, data, path)
    lost = file.results.keys() - file.tasks.keys()
    if lost:
        raise ResultError(f"{path}: results.{excerpt(min(lost), 60)}: `tasks` has no entry for this task")
    try:
        results = _from_file(file)
    except ValueError as error:
        raise ResultError(f"{path}: {error}") from None
    results._path = path
    return results


def _from_file(file: ResultsFile) -> Results:
    tasks = {
        name: TaskResult.model_construct(  # of checked parts
            **_fields(TaskReport, report),
            metrics=dict(_measures(f"results.{name}", file.results.get(name, {}), file.higher_is_better.get(name, {}))),
            counts=file.n_samples.get(name, SampleCounts()),
            version=file.versions.get(name, 1),
            higher_is_better=file.higher_is_better.get(name, {}),
            declaration=file.configs.get(name, {}),
        )
        for name, report in file.tasks.items()
    }
    groups = {
        name: _group(
            name, file.groups.get(name, {}), names, all(task in tasks and tasks[task].complete for task in names)
        )
        for name, names in file.group_subtasks.items()
    }
    return Results.model_construct(**_fields(RunRecord, file), tasks=tasks, groups=groups)


def _fields(kind: type[RunRecord | TaskReport], record: RunRecord | TaskReport) -> dict[str, Any]:
    """The fields of a base class, of an object of a derived one."""
    return {name: getattr(record, name) for name in kind.model_fields}


def _measures(place: str, row: Row, metrics: Iterable[str]) -> Iterator[tuple[str, Measure]]:
    for metric in metrics:
        value, stderr = (row.get(f"{name},none") for name in (metric, f"{metric}_stderr"))
        if value is None:
            continue
        where = f"{place}.{excerpt(metric, 60)}"
        if isinstance(value, str) or not 0 <= value <= 1:
            raise ValueError(f"{where} is {excerpt(repr(value), 40)}, not a share between 0 and 1")
        if stderr == "N/A":  # as lm-evaluation-harness writes it
            stderr = None
        if isinstance(stderr, str) or (stderr or 0) < 0:
            raise ValueError(f"{where}: {excerpt(repr(stderr), 40)} is not a standard error")
        yield metric, Measure(value, stderr)


def _cells(metric: str, measure: Measure | None) -> Row:
    value, stderr = (measure.value, measure.stderr) if measure else (None, None)
    return {f"{metric},none": value, f"{metric}_stderr,none": stderr}


def _row(name: str, task: TaskResult) -> Row:
    row: Row = {"alias": name}
    for metric, measure in task.metrics.items():
        row |= _cells(metric, measure)
    if task.chance_corrected is not None:
        row[f"{task.primary_metric}_chance_corrected,none"] = task.chance_corrected
    return row


def _group_row(name: str, group: GroupResult) -> Row:
    return {"alias": name if group.complete else f"{name} (incomplete)", **_cells(group.metric or "", group.mean)}


def _group(name: str, row: Row, names: list[str], complete: bool) -> GroupResult:
    metric = next((key.removesuffix(",none") for key in row if key.endswith(",none")), None)
    mean = dict(_measures(f"groups.{excerpt(name, 60)}", row, [metric])).get(metric) if metric else None
    return GroupResult.model_construct(tasks=names, metric=metric, mean=mean, complete=complete)
