"""A study's output folder: the study it belongs to, what is finished, and which process works on what.

study.json                     the study the folder belongs to
runs/color-hn1-seed0/          a trained model with its checkpoints
runs/color-hn1-seed0.json      the record of its training
scores/color-hn1-seed0/step-000200/coco_color.json   results of one checkpoint on one task
scores/…/step-000200/samples_coco_color_coco_color.jsonl  its samples, if a table compares models sample by sample
logs/color-hn1-seed0.log       output of the training
overlap.json                   evaluation images that were trained on
report.md, report.html, report.json, tradeoff.*
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from clipbench.errors import ConfigError, ResultError
from clipbench.reproduce.steps import Run
from clipbench.reproduce.study import Study
from clipbench.results import Results, read_results
from clipbench.results.files import samples_path
from clipbench.training.recipe import NO_CONCEPT
from clipbench.utils.files import atomic_write, lock
from clipbench.utils.text import reason

_STUDY = "study.json"
_METHOD = "method "


class TrainingRecord(BaseModel):
    """How a training went.

    Attributes:
        hash: Digest of ``inputs``: another hash is another training; None if it failed before they were known.
        inputs: Everything that the weights depend on.
        status: Whether there is a model.
        error: Why there is none.
        command: The command that trains the same model without the study.
        checkpoints: Step and epoch of each checkpoint.
        seconds: Time spent on training.
        samples_per_second: Captions per second.
        peak_memory_bytes: Of the process on a CPU, of the GPU's memory on a GPU.
        precision: Of the encoders' arithmetic.
        model: The base model.
        data: The training data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hash: str | None = None
    inputs: dict[str, Any] = {}
    status: Literal["finished", "failed"]
    command: str = ""
    error: str | None = None
    checkpoints: list[tuple[int, float]] = []
    seconds: float | None = None
    samples_per_second: float | None = None
    peak_memory_bytes: int | None = None
    precision: str | None = None
    model: dict[str, Any] = {}
    data: dict[str, Any] = {}

    @property
    def is_finished(self) -> bool:
        """There is a model."""
        return self.status == "finished"


class StudyFolder:
    """The output folder of one study.

    Args:
        path: Made if it does not exist.

    Raises:
        ConfigError: It cannot be made or written to, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"output_path {path}: cannot be made: {error.strerror}") from None
        if not os.access(path, os.W_OK):
            raise ConfigError(f"output_path {path}: cannot be written to")
        if any(path.iterdir()) and not (path / _STUDY).is_file():
            raise ConfigError(f"output_path {path}: holds other files and no study: pass a new or empty folder")

    def claim(self, study: Study) -> None:
        """Make the folder this study's.

        Raises:
            ConfigError: It holds another study, see ``check``.
            ResultError: It cannot be written to.
        """
        self.check(study)
        self._write(_STUDY, json.dumps({"identity": _identity(study), "study": study.model_dump()}, indent=2) + "\n")

    def check(self, study: Study) -> None:
        """Refuse a folder that is another study's.

        Seeds, concepts, numbers of negatives, methods and tables may be added: what is finished is kept.

        Raises:
            ConfigError: It holds another study; names the first difference.
        """
        file, mine = self.path / _STUDY, _identity(study)
        try:
            theirs = dict(json.loads(file.read_text())["identity"]) if file.is_file() else mine
            names = list(theirs)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConfigError(f"{file}: cannot be read: {reason(error)}: pass a new folder") from None
        for name in [*mine, *names]:
            if name.startswith(_METHOD) and not (name in mine and name in theirs):
                continue
            if mine.get(name) != theirs.get(name):
                raise ConfigError(
                    f"output_path {self.path}: holds study {theirs.get('name')}, {name} {theirs.get(name)} there and"
                    f" {mine.get(name)} asked for: pass another folder"
                )

    def model(self, run: Run) -> Path:
        """Directory of a training's model and checkpoints."""
        return self.path / "runs" / run.name

    def log(self, run: Run) -> Path:
        """Output of a training."""
        return self.path / "logs" / f"{run.name}.log"

    def scores(self, run: Run, step: int, task: str) -> Path:
        """The result file of a checkpoint on a task; the step of a base model is 0."""
        return self.path / "scores" / run.name / f"step-{step:06d}" / f"{task}.json"

    def samples(self, run: Run, step: int, task: str) -> Path:
        """The sample log that belongs to the result file."""
        return samples_path(self.scores(run, step, task), task)

    def training(self, run: Run) -> TrainingRecord | None:
        """How a training went; None before it was tried."""
        return _read_record(self.path / "runs" / f"{run.name}.json")

    def write_training(self, run: Run, record: TrainingRecord) -> None:
        """Write how a training went.

        Raises:
            ResultError: It cannot be written.
        """
        self._write(f"runs/{run.name}.json", record.model_dump_json(indent=2) + "\n")

    def rates(self, negatives: int, *, of_base: bool = False) -> list[float]:
        """Captions per second of the finished trainings with so many negatives, or of the base model's."""
        records = filter(None, map(_read_record, (self.path / "runs").glob("*.json")))
        return [
            record.samples_per_second
            for record in records
            if record.samples_per_second
            and record.inputs["recipe"]["negatives"] == negatives
            and (record.inputs["recipe"]["concepts"] == [NO_CONCEPT]) == of_base
        ]

    def results(self, run: Run, step: int, task: str) -> Results | None:
        """The results of a checkpoint on a task; None if there are none, or none that can be read."""
        with suppress(ResultError):
            return read_results(self.scores(run, step, task))
        return None

    def is_scored(self, run: Run, step: int, task: str) -> bool:
        """Whether a checkpoint has numbers on a task."""
        results = self.results(run, step, task)
        return results is not None and not results.failed

    def write_results(self, run: Run, step: int, task: str, results: Results) -> None:
        """Write results.

        Raises:
            ResultError: They cannot be written.
        """
        self._write(str(self.scores(run, step, task).relative_to(self.path)), results.to_json())

    def overlaps(self) -> tuple[str, list[str]]:
        """Digest of the data that was compared, and warnings of tasks whose images are trained on; empty at first."""
        try:
            found = json.loads((self.path / "overlap.json").read_text())
            return str(found["of"]), list(found["warnings"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "", []

    def write_overlaps(self, of: str, warnings: list[str]) -> None:
        """Write the warnings.

        Raises:
            ResultError: They cannot be written.
        """
        self._write("overlap.json", json.dumps({"of": of, "warnings": warnings}, indent=2) + "\n")

    def _write(self, name: str, text: str) -> None:
        file = self.path / name
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultError(f"{file}: cannot be written: {error.strerror}") from None
        atomic_write(file, text)

    def training_lock(self, run: Run) -> Path:
        """The lock file that a training's own process holds, as it may outlive the study that started it."""
        return self.path / "locks" / f"{run.name}.training.lock"

    @contextmanager
    def hold(self, run: Run, *, wait: bool = False, attempt: bool = True) -> Iterator[bool]:
        """Reserve a run for this process.

        Args:
            run: The run.
            wait: Wait until other processes have released it.
            attempt: The work that is done now is all of the run's, see ``attempted_since``.

        Yields:
            Whether the run is ours: neither another study nor a training that outlived its study works on it.

        Raises:
            ResultError: It cannot be locked.
        """
        file = self.path / "locks" / f"{run.name}.lock"
        file.parent.mkdir(exist_ok=True)
        on_busy = None if wait else _give_up
        with ExitStack() as held:
            is_ours = False
            with suppress(_BusyError):
                held.enter_context(lock(file, on_busy))
                with lock(self.training_lock(run), on_busy):
                    is_ours = True
            yield is_ours
            if is_ours and attempt:
                file.with_suffix(".attempted").touch()  # also after a failure, but not where this process is killed

    def attempted_since(self, run: Run, moment: float) -> bool:
        """Whether a process finished its work on a run, successfully or not, after ``moment`` (seconds since 1970)."""
        file = self.path / "locks" / f"{run.name}.attempted"
        return file.is_file() and file.stat().st_mtime > moment


class _BusyError(Exception):
    """Another process has the lock."""


def _give_up() -> None:
    raise _BusyError


def _read_record(file: Path) -> TrainingRecord | None:
    with suppress(OSError, ValueError):  # pydantic's errors, and text that is no UTF-8
        return TrainingRecord.model_validate_json(file.read_text())
    return None


def _identity(study: Study) -> Mapping[str, Any]:
    """What all runs of a study share, and what must not differ within one folder."""
    return {
        "name": study.name,
        "base models": study.base_models,
        **({"model arguments": study.model_args} if study.model_args else {}),
        **({"base training": study.base_training.model_dump()} if study.base_training else {}),
        "data": study.training.data,
        "training limit": study.training.limit,
        "limit": study.limit,
        **{f"recipe's {name}": value for name, value in sorted(study.training.recipe.items())},
        **{f"{_METHOD}{name}": value for name, value in sorted(study.training.methods.items())},
    }
