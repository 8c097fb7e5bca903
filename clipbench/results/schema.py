"""Result files: their schema, in lm-evaluation-harness's layout, and how they are written and read."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from clipbench.errors import ConfigError, ResultError
from clipbench.types import SampleResult

SCHEMA_VERSION = 1
_TIME = "%Y-%m-%dT%H-%M-%S.%f"


class SampleCount(BaseModel):
    """Samples in the data, and samples that were scored."""

    model_config = ConfigDict(extra="forbid")

    original: int
    effective: int


class GroupScore(BaseModel):
    """The primary metric over one part of a task (one keyword of a ranking task)."""

    model_config = ConfigDict(extra="forbid")

    n: int
    value: float


class TaskReport(BaseModel):
    """What a reader needs to trust a task's numbers.

    Attributes:
        task_type: ``ranking``, ``pairs`` or ``retrieval``.
        primary_metric: The metric to quote.
        chance: What guessing gives on it.
        expected_n: Samples in the complete data.
        clusters: Images that the standard error is clustered by.
        missing_images: Images that were not there.
        broken_images: Images that could not be read.
        unjudgeable: Samples that no judgement can be made on.
        tied: Samples where an equal score withheld the win.
        truncated_texts: Texts cut to the model's context.
        complete: Nothing was missing: the numbers compare with others'.
        problems: What was found, a line each.
        error: Why there are no numbers.
        data: Where the rows came from.
        breakdown: The primary metric by part.
        seconds: Wall time.
    """

    model_config = ConfigDict(extra="forbid")

    task_type: str = Field(validation_alias=AliasChoices("task_type", "family"))
    primary_metric: str
    chance: float | None = None
    expected_n: int | None = None
    clusters: int = 0
    missing_images: int = 0
    broken_images: int = 0
    unjudgeable: int = 0
    tied: int = 0
    truncated_texts: int = 0
    complete: bool = False
    problems: list[str] = []
    error: str | None = None
    data: dict[str, Any] = {}
    breakdown: dict[str, GroupScore] = {}
    seconds: float = 0.0


class Results(BaseModel):
    """One run: ``results_<time>.json``. Keys are lm-evaluation-harness's, with ``tasks`` beside them.

    Attributes:
        results: Task to ``{"alias", "acc,none", "acc_stderr,none", …}``; a number that does not exist is null.
        groups: Group to the plain mean of its tasks' primary metric, in the same form; its alias says where a task
            of it is not complete.
        group_subtasks: Group to its tasks.
        configs: Task to its declaration.
        versions: Task to its version.
        n_samples: Task to its number of samples, in the file ``n-samples``.
        higher_is_better: Task to metric to true.
        tasks: Task to :class:`TaskReport`.
        config: The run: model, its facts and the options.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: int = SCHEMA_VERSION
    results: dict[str, dict[str, float | str | None]] = {}
    groups: dict[str, dict[str, float | str | None]] = {}
    group_subtasks: dict[str, list[str]] = {}
    configs: dict[str, dict[str, Any]] = {}
    versions: dict[str, int] = {}
    n_samples: dict[str, SampleCount] = Field(default={}, alias="n-samples")
    higher_is_better: dict[str, dict[str, bool]] = {}
    tasks: dict[str, TaskReport] = {}
    config: dict[str, Any] = {}
    model_name: str = ""
    model_name_sanitized: str = ""
    clipbench_version: str = ""
    git_hash: str | None = None
    date: float = 0.0
    pretty_env_info: str = ""
    total_evaluation_time_seconds: float = 0.0

    def metric(self, task: str, name: str) -> float:
        """A task's metric, NaN where it does not exist.

        >>> Results(results={"coco_color": {"acc,none": 0.5}}).metric("coco_color", "acc")
        0.5
        """
        value = self.results[task].get(f"{name},none")
        return float(value) if isinstance(value, int | float) else math.nan

    @property
    def failed(self) -> list[str]:
        """Tasks that have no numbers, or numbers from incomplete data that were not asked for."""
        return [name for name, report in self.tasks.items() if report.error is not None]

    def to_json(self) -> str:
        """The file's text."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def read_results(path: Path) -> Results:
    """Read a result file.

    Raises:
        ResultError: It is not there, not JSON, or not one of clipbench's.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ResultError(f"{path}: not a readable result file: {error}") from None
    if not isinstance(data, dict) or "schema_version" not in data:
        raise ResultError(f"{path}: not a clipbench result file (it has no schema_version)")
    if data["schema_version"] != SCHEMA_VERSION:
        raise ResultError(f"{path}: schema version {data['schema_version']}, this clipbench reads {SCHEMA_VERSION}")
    try:
        return Results.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ResultError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def sanitize(model_name: str) -> str:
    """A model's name as a folder name, as lm-evaluation-harness makes it.

    >>> sanitize("openai/clip-vit-base-patch32")
    'openai__clip-vit-base-patch32'
    """
    return re.sub(r'[\s"<>:/|\\?*\[\]]+', "__", model_name)


def write_atomically(path: Path, text: str) -> None:
    """Write a file beside its place and move it there: a reader never sees half of it.

    Raises:
        ResultError: It cannot be written.
    """
    with _beside(path) as handle:
        handle.write(text)


class ResultsDirectory:
    """``OUT/<model>/``, with ``results_<time>.json`` and ``samples_<task>_<time>.jsonl``.

    Making one proves that the place can be written to, so make it before the model is loaded.

    Raises:
        ConfigError: The place cannot be written to.
    """

    def __init__(self, output_path: Path, model_name: str, when: datetime) -> None:
        self._folder = output_path / sanitize(model_name)
        self._time = when.strftime(_TIME)
        if output_path.suffix == ".json":
            raise ConfigError(f"--output_path {output_path}: give a folder, not a file")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except OSError as error:
            raise ConfigError(f"--output_path {output_path}: cannot be written to: {error.strerror}") from None

    @property
    def path(self) -> Path:
        """The model's folder."""
        return self._folder

    def take_over(self, when: datetime) -> None:
        """Go on with an unfinished run: its files are written over, and what it left half-written is removed.

        Args:
            when: When that run was started.
        """
        self._time = when.strftime(_TIME)
        for part in self._folder.glob(f".*_{self._time}.*.part"):
            with suppress(OSError):
                part.unlink()

    @property
    def results_path(self) -> Path:
        """Where the results are."""
        return self._folder / f"results_{self._time}.json"

    def write(self, results: Results) -> Path:
        """Write the results, over those of the same run.

        Raises:
            ResultError: They cannot be written.
        """
        write_atomically(self.results_path, results.to_json())
        return self.results_path

    @contextmanager
    def samples(self, task: str) -> Iterator[Callable[[SampleResult], None]]:
        """Collect a task's sample lines; the file is there once the block ends well.

        Raises:
            ResultError: They cannot be written.
        """
        with _beside(self._folder / f"samples_{task}_{self._time}.jsonl") as handle:
            yield lambda outcome: handle.write(json.dumps(sample_line(task, outcome), ensure_ascii=False) + "\n")


def sample_line(task: str, outcome: SampleResult) -> Mapping[str, object]:
    """One line of a samples file."""
    return {
        "doc_id": outcome.sample_id,
        "task": task,
        "group": outcome.group,
        "cluster": outcome.cluster,
        **outcome.record,
        **outcome.values,
        "tied": outcome.tied,
    }


class _PartFile:
    """A file that is written beside its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        with self._told():
            self._handle = self._beside.open("w", encoding="utf-8")

    def write(self, text: str) -> None:
        with self._told():
            self._handle.write(text)

    def put_in_place(self) -> None:
        with self._told():
            self._handle.flush()
            os.fsync(self._handle.fileno())
            self._handle.close()
            os.replace(self._beside, self._path)

    def discard(self) -> None:
        with suppress(OSError):
            self._handle.close()
        with suppress(OSError):
            self._beside.unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ResultError(f"{self._path}: cannot be written: {error.strerror or error}") from None


@contextmanager
def _beside(path: Path) -> Iterator[_PartFile]:
    """A file that takes ``path``'s place if the block ends well, and is gone if not."""
    part = _PartFile(path)
    try:
        yield part
        part.put_in_place()
    finally:
        part.discard()
