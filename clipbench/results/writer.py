"""The directory that a run writes its results to."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from clipbench.errors import ConfigError
from clipbench.results.results import Results, sanitize
from clipbench.results.sample_log import sample_line
from clipbench.types import SampleResult
from clipbench.utils.files import atomic_write, atomic_writer, remove_parts

_TIME = "%Y-%m-%dT%H-%M-%S.%f"


class ResultsDirectory:
    """``OUT/<model>/`` with ``results_<time>.json`` and ``samples_<task>_<time>.jsonl``.

    Creating one proves that files can be written there, so create it before the model is loaded.

    Args:
        output_path: The directory of all models.
        model_name: The model.
        when: When the run was started.

    Raises:
        ConfigError: Files cannot be written there.
    """

    def __init__(self, output_path: Path, model_name: str, when: datetime) -> None:
        self.path = output_path / sanitize(model_name)
        self._time = when.strftime(_TIME)
        if output_path.suffix == ".json":
            raise ConfigError(f"output_path {output_path}: give a directory, not a file")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise ConfigError(f"output_path {output_path}: cannot be written to: {error.strerror}") from None

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
        atomic_write(self.results_path, results.to_json())
        return self.results_path

    @contextmanager
    def samples(self, task: str) -> Iterator[Callable[[SampleResult], None]]:
        """Write a task's sample log; the file appears when the block ends without an error.

        Yields:
            A function that appends a sample.

        Raises:
            ResultError: It cannot be written.
        """
        with atomic_writer(self.path / f"samples_{task}_{self._time}.jsonl") as write:
            yield lambda result: write(json.dumps(sample_line(task, result), ensure_ascii=False) + "\n")
