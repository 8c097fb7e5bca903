"""A run's folder beside its checkpoints: what the run is, so that two never mix, and the course of its loss."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from clipbench.errors import ConfigError, ResultError
from clipbench.utils.files import atomic_write

SCHEMA_VERSION: Final = 1
_RUN, _LOG = "finetune.json", "training_log.jsonl"


class RunFolder:
    """The folder of one fine-tuning.

    Args:
        path: The folder; made where it is not there.

    Raises:
        ConfigError: It cannot be written to, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            writable = os.access(path, os.W_OK)
        except OSError as error:
            raise ConfigError(f"output_path {path}: cannot be made: {error.strerror}") from None
        if not writable:
            raise ConfigError(f"output_path {path}: cannot be written to")
        if any(path.iterdir()) and not (path / _RUN).is_file():
            raise ConfigError(f"output_path {path}: holds other files and no fine-tuning: pass a new or empty folder")

    def facts(self) -> dict[str, Any]:
        """What the folder says of its run; empty where none has begun.

        Raises:
            ConfigError: It cannot be read.
        """
        if not (self.path / _RUN).is_file():
            return {}
        try:
            return dict(json.loads((self.path / _RUN).read_text()))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.path / _RUN}: cannot be read ({error}): pass a new folder") from None

    def check(self, identity: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse to go on with a run of another recipe, model or data.

        Args:
            identity: Parts of what the run is, as they become known: ``recipe``, ``model``, ``data``.

        Raises:
            ConfigError: Names the first thing that differs.
        """
        found = self.facts()
        for part, values in identity.items():
            for name, value in values.items():
                there = found.get(part, {}).get(name, value)
                if there != value:
                    raise ConfigError(
                        f"output_path {self.path}: holds a run of another {part}: {name} {_short(there)} there,"
                        f" {_short(value)} asked for; pass another folder"
                    )

    def write(self, facts: Mapping[str, Any]) -> None:
        """Write what the run is.

        Raises:
            ResultError: It cannot be written.
        """
        text = json.dumps({"schema_version": SCHEMA_VERSION, **facts}, indent=2, ensure_ascii=False)
        atomic_write(self.path / _RUN, text + "\n")

    def log(self, entries: Sequence[Mapping[str, Any]], before: int) -> None:
        """Keep the log's entries up to a step and add further ones.

        Args:
            entries: What to add, each with its ``step``.
            before: Entries of later steps, written by a sitting whose checkpoint was lost, are dropped.

        Raises:
            ResultError: It cannot be written.
        """
        kept = [entry for entry in self.read_log() if entry["step"] <= before]
        lines = [json.dumps(entry) + "\n" for entry in [*kept, *entries]]
        atomic_write(self.path / _LOG, "".join(lines))

    def read_log(self) -> list[dict[str, Any]]:
        """The log: a dict with ``step``, ``epoch``, ``loss``, ``learning_rate`` a step."""
        try:
            text = (self.path / _LOG).read_text()
            return [json.loads(line) for line in text.splitlines()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise ResultError(f"{self.path / _LOG}: cannot be read: {error}") from error


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
