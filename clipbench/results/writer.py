"""The directory that a run writes its results to."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from clipbench.errors import ConfigError, ResultError
from clipbench.results.files import samples_path, sanitize
from clipbench.results.results import Results
from clipbench.results.sample_log import sample_line
from clipbench.types import SampleResult
from clipbench.utils.files import atomic_write, atomic_writer, remove_parts

_TIME = "%Y-%m-%dT%H-%M-%S.%f"


class ResultsDirectory:
    """``OUT/<model>/`` with ``results_<time>.json`` and ``samples_<task>_<time>.jsonl``.

    Creating the object checks that files can be written there, so do it before the model is loaded. The folder itself
    is created by ``create`` or with the first file: a run that fails before that leaves nothing.

    Args:
        output_path: The directory of all models.
        model_name: The model.
        when: When the run was started.

    Raises:
        ConfigError: Files cannot be written there.
    """

    def __init__(self, output_path: Path, model_name: str, when: datetime) -> None:
        self.path = output_path / sanitize(model_name)
        self._output_path, self._time = output_path, when.strftime(_TIME)
        self._made: list[Path] = []
        if output_path.suffix == ".json":
            raise ConfigError(f"output_path {output_path}: give a directory, not a file")
        with self._refusal():
            there = next(folder for folder in (self.path, *self.path.parents) if folder.exists())
            with tempfile.TemporaryFile(dir=there):
                pass

    @contextmanager
    def _refusal(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigError(f"output_path {self._output_path}: cannot be written to: {error.strerror}") from None

    def create(self) -> None:
        """Create the folder, unless it exists.

        Raises:
            ConfigError: It cannot be created.
        """
        try:
            with self._refusal():
                self._made += [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
                self.path.mkdir(parents=True, exist_ok=True)
        except ConfigError:
            self.remove_empty()
            raise

    def remove_empty(self) -> None:
        """Remove the folders that ``create`` has created and that are still empty."""
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()

    def take_over(self, when: datetime) -> None:
        """Continue an unfinished run: its files are replaced, and what it left half-written is removed.

        Args:
            when: When that run was started.
        """
        self._time = when.strftime(_TIME)
        remove_parts(self.path, f"*_{self._time}.*")

    @property
    def results_path(self) -> Path:
        """The result file."""
        return self.path / f"results_{self._time}.json"

    def write(self, results: Results) -> Path:
        """Write the results, replacing those of the same run.

        Raises:
            ResultError: They cannot be written.
        """
        try:
            text = results.to_json()
        except (TypeError, ValueError) as error:  # a plug-in's value, or a lone surrogate in a name
            raise ResultError(f"{self.results_path}: cannot be written: {error}") from None
        self._ensure()
        atomic_write(self.results_path, text)
        results._path = self.results_path
        return self.results_path

    def _ensure(self) -> None:
        """Create the folder again, in case another run has found it empty and removed it."""
        with suppress(OSError):  # writing will raise the error
            self.path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def samples(
        self, task: str, on_error: Callable[[ResultError], None] | None = None
    ) -> Iterator[Callable[[SampleResult], None]]:
        """Write a task's sample log; the file appears when the block ends without an error.

        Args:
            task: The task.
            on_error: Called with the error if the log cannot be written; the block goes on without it. By default it is
                raised.

        Yields:
            A function that appends a sample.

        Raises:
            ResultError: It cannot be written.
        """
        self._ensure()
        with write_sample_log(samples_path(self.results_path, task), task, on_error) as append:
            yield append


@contextmanager
def write_sample_log(
    path: Path, task: str, on_error: Callable[[ResultError], None] | None = None
) -> Iterator[Callable[[SampleResult], None]]:
    """Write a task's samples to a file, in a folder that exists; see ``ResultsDirectory.samples``."""
    errors: list[ResultError] = []
    opened = done = False

    def append(result: SampleResult) -> None:
        if not errors:
            try:
                write(_line(path, task, result))
            except ResultError as error:
                if on_error is None:
                    raise
                errors.append(error)

    try:
        with atomic_writer(path) as write:
            opened = True
            yield append
            done = True
            for error in errors:
                raise error  # discards the incomplete log
    except ResultError as error:
        if on_error is None or (opened and not done):  # raised by the block itself
            raise
        on_error(ResultError(f"{task}: its samples are not logged: {error}"))
        if not opened:
            yield lambda result: None


def _line(path: Path, task: str, result: SampleResult) -> bytes:
    found = sample_line(task, result)
    try:
        return json.dumps(found, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate, which JSON can only escape
        return json.dumps(found).encode() + b"\n"
    except (TypeError, ValueError) as error:  # from a plug-in's record
        raise ResultError(f"{path}: sample {result.sample_id} cannot be logged: {error}") from None
