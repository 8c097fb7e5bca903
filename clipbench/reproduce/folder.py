"""A study's output folder: which study it belongs to, what is finished in it, and who is at what.

study.json                     the study the folder belongs to
runs/color-hn1-seed0/          a trained model with its checkpoints
runs/color-hn1-seed0.json      what its training was made from, and how it went
scores/color-hn1-seed0/step-000200/coco_color.json   results of one checkpoint on one task
logs/color-hn1-seed0.log       what the training said
overlap.json                   images of tasks that were trained on
report.md, report.html, report.json, tradeoff.*
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from clipbench.errors import ConfigError, ResultError
from clipbench.reproduce.schedule import Run
from clipbench.reproduce.study import Study
from clipbench.results import Results, read_results
from clipbench.utils.files import atomic_write

_STUDY = "study.json"


class Trained(BaseModel):
    """How a training went.

    Attributes:
        hash: Digest of ``inputs``; a training of another hash is another one.
        inputs: All that the weights depend on.
        status: Whether there is a model.
        error: Why there is none.
        command: The command line that makes the same model by itself.
        checkpoints: Step and epoch of each checkpoint that there was.
        seconds: Time spent on training.
        samples_per_second: Captions trained on in a second.
        peak_memory_bytes: Of the process on a CPU, of the GPU's memory on a GPU.
        precision: Of the encoders' arithmetic.
        model: What the base model is.
        data: What it was trained on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hash: str
    inputs: dict[str, Any]
    status: Literal["finished", "failed"]
    command: str
    error: str | None = None
    checkpoints: list[tuple[int, float]] = []
    seconds: float | None = None
    samples_per_second: float | None = None
    peak_memory_bytes: int | None = None
    precision: str | None = None
    model: dict[str, Any] = {}
    data: dict[str, Any] = {}


class StudyFolder:
    """The output folder of one study.

    Args:
        path: Made where it is not there.

    Raises:
        ConfigError: It cannot be made or written to, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--output_path {path}: cannot be made: {error.strerror}") from None
        if not os.access(path, os.W_OK):
            raise ConfigError(f"--output_path {path}: cannot be written to")
        if any(path.iterdir()) and not (path / _STUDY).is_file():
            raise ConfigError(f"--output_path {path}: holds other files and no study: pass a new or empty folder")

    def claim(self, study: Study) -> None:
        """Make the folder this study's; one that is another's is refused, see :meth:`check`.

        Raises:
            ConfigError: It holds another study.
            ResultError: It cannot be written to.
        """
        self.check(study)
        whole = {"identity": _identity(study), "study": study.model_dump()}
        atomic_write(self.path / _STUDY, json.dumps(whole, indent=2) + "\n")

    def check(self, study: Study) -> None:
        """Refuse a folder that is another study's.

        Seeds, concepts, numbers of negatives and tables may be added: what is finished stays.

        Args:
            study: The study.

        Raises:
            ConfigError: It holds another study; names the first thing that differs.
        """
        file, mine = self.path / _STUDY, _identity(study)
        try:
            theirs = json.loads(file.read_text())["identity"] if file.is_file() else mine
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{file}: cannot be read ({error}): pass a new folder") from None
        for name in [*mine, *theirs]:
            if mine.get(name) != theirs.get(name):
                raise ConfigError(
                    f"--output_path {self.path}: holds study {theirs.get('name')}, {name} {theirs.get(name)} there and"
                    f" {mine.get(name)} asked for: pass another folder"
                )

    def model(self, run: Run) -> Path:
        """Where a training's model and checkpoints are."""
        return self.path / "runs" / run.name

    def log(self, run: Run) -> Path:
        """What a training said."""
        return self.path / "logs" / f"{run.name}.log"

    def scores(self, run: Run, step: int, task: str) -> Path:
        """The result file of a checkpoint on a task; of a base model the step is 0."""
        return self.path / "scores" / run.name / f"step-{step:06d}" / f"{task}.json"

    def trained(self, run: Run) -> Trained | None:
        """How a training went; None where nothing is known."""
        try:
            return Trained.model_validate_json((self.path / "runs" / f"{run.name}.json").read_text())
        except (OSError, ValidationError):
            return None

    def rates(self, negatives: int) -> list[float]:
        """Captions a second of the finished trainings with so many negatives."""
        found = []
        for file in (self.path / "runs").glob("*.json"):
            with suppress(OSError, ValidationError):
                trained = Trained.model_validate_json(file.read_text())
                if trained.samples_per_second and trained.inputs["recipe"]["negatives"] == negatives:
                    found.append(trained.samples_per_second)
        return found

    def write_trained(self, run: Run, trained: Trained) -> None:
        """Keep how a training went.

        Raises:
            ResultError: It cannot be written.
        """
        file = self.path / "runs" / f"{run.name}.json"
        file.parent.mkdir(exist_ok=True)
        atomic_write(file, trained.model_dump_json(indent=2) + "\n")

    def results(self, run: Run, step: int, task: str) -> Results | None:
        """The results of a checkpoint on a task; None where there are none yet, or none that can be read."""
        with suppress(ResultError):
            return read_results(self.scores(run, step, task))
        return None

    def is_scored(self, run: Run, step: int, task: str) -> bool:
        """Whether a checkpoint has numbers on a task."""
        results = self.results(run, step, task)
        return results is not None and not results.failed

    def write_results(self, run: Run, step: int, task: str, results: Results) -> None:
        """Keep results.

        Raises:
            ResultError: They cannot be written.
        """
        file = self.scores(run, step, task)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultError(f"{file}: cannot be written: {error.strerror}") from None
        atomic_write(file, results.to_json())

    def overlaps(self) -> tuple[str, list[str]]:
        """Warnings of tasks whose images are trained on, and the digest of what they were found in; empty at first."""
        try:
            found = json.loads((self.path / "overlap.json").read_text())
            return str(found["of"]), list(found["warnings"])
        except (OSError, ValueError, KeyError):
            return "", []

    def write_overlaps(self, of: str, warnings: list[str]) -> None:
        """Keep the warnings.

        Raises:
            ResultError: They cannot be written.
        """
        atomic_write(self.path / "overlap.json", json.dumps({"of": of, "warnings": warnings}, indent=2) + "\n")

    @contextmanager
    def at_work(self, run: Run, *, wait: bool = False) -> Iterator[int | None]:
        """Hold a run against other processes, however this one ends.

        Args:
            run: The run.
            wait: Until another process has let it go.

        Yields:
            The lock's file descriptor, None where another process has the run. Children that inherit it hold it too,
            so that a training whose starter was killed is not started a second time beside itself.
        """
        folder = self.path / "locks"
        folder.mkdir(exist_ok=True)
        file = folder / f"{run.name}.lock"
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            yield None
            return
        except OSError as error:
            os.close(descriptor)
            raise ResultError(
                f"{file}: cannot be locked: {error.strerror}: pass an --output_path on a local disk"
            ) from None
        try:
            yield descriptor
            file.with_suffix(".attempted").touch()  # however it went; not where this process was killed
        finally:
            os.close(descriptor)  # not unlocked by hand: that would take it from a child, too

    def attempted_since(self, run: Run, moment: float) -> bool:
        """Whether a process has done with a run, well or not, after ``moment``, in seconds since the epoch."""
        file = self.path / "locks" / f"{run.name}.attempted"
        return file.is_file() and file.stat().st_mtime > moment


def _identity(study: Study) -> Mapping[str, Any]:
    """What all runs of a study have in common, and what must not differ in one folder."""
    return {
        "name": study.name,
        "base models": study.base_models,
        "data": study.training.data,
        "training limit": study.training.limit,
        "limit": study.limit,
        **{f"recipe's {name}": value for name, value in sorted(study.training.recipe.items())},
    }
