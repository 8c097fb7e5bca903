"""A run's folder: its identity, so that two runs never mix, and its training log."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from clipbench.errors import ConfigError, ResultError
from clipbench.training.recipe import BEFORE, Recipe, recorded_before
from clipbench.utils.files import atomic_write, lock
from clipbench.utils.text import reason

SCHEMA_VERSION: Final = 1
_RUN, _LOG, _LOCK = "finetune.json", "training_log.jsonl", "finetune.lock"
_PARTS: Final = ("recipe", "model", "data")


class RunFolder:
    """The folder of one fine-tuning.

    Args:
        path: The folder; created if missing.

    Raises:
        ConfigError: It cannot be written to, or holds other files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            writable = os.access(path, os.W_OK)
        except OSError as error:
            raise ConfigError(f"output_path {path}: cannot be created: {error.strerror}") from None
        if not writable:
            raise ConfigError(f"output_path {path}: cannot be written to")
        if any(file.name != _LOCK for file in path.iterdir()) and not (path / _RUN).is_file():
            raise ConfigError(
                f"output_path {path}: holds other files but no fine-tuning run; choose a new or empty folder"
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training in the folder during the block.

        Raises:
            ConfigError: Another process is training in it.
            ResultError: The folder cannot be locked.
        """

        def busy() -> None:
            raise ConfigError(
                f"output_path {self.path}: another process is training in this folder: wait for it, or choose another"
            )

        with lock(self.path / _LOCK, busy):
            yield

    def facts(self) -> dict[str, Any]:
        """The content of ``finetune.json``; empty for a new run.

        Raises:
            ConfigError: It cannot be read.
        """
        if not (self.path / _RUN).is_file():
            return {}
        try:
            facts = json.loads((self.path / _RUN).read_text(encoding="utf-8"))
            if not isinstance(facts, dict) or not all(isinstance(facts.get(part, {}), dict) for part in _PARTS):
                raise ValueError("not what a fine-tuning writes")
            return facts
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{self.path / _RUN}: cannot be read: {reason(error)}; choose a new folder") from None

    def begun(self, recipe: Recipe) -> Recipe:
        """The recipe with what an unnamed field meant when the folder's run was begun; unchanged in a new folder.

        Raises:
            ConfigError: The folder cannot be read.
        """
        found = self.facts().get("recipe", {})
        earlier = "concepts" in found
        return replace(recipe, **{name: value for name, value in BEFORE.items() if earlier and name not in found})

    def check(self, identity: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse to continue a run that has another recipe, model or data.

        Args:
            identity: The known parts of the run's identity: ``recipe``, ``model``, ``data``.

        Raises:
            ConfigError: A value differs; the message names the first.
        """
        found = self.facts()
        if "concepts" in (recipe := found.get("recipe", {})):
            found["recipe"] = {**recorded_before(), **recipe, "freeze": _frozen(recipe)}
        for part, values in identity.items():
            for name, value in values.items():
                saved = found.get(part, {}).get(name, value)
                if saved != value:
                    other = "other data" if part == "data" else f"another {part}"
                    raise ConfigError(
                        f"output_path {self.path}: holds a run with {other}: {name} is {_short(saved)},"
                        f" not {_short(value)}; choose another folder"
                    )

    def write(self, facts: Mapping[str, Any]) -> None:
        """Write ``finetune.json``.

        Raises:
            ResultError: It cannot be written.
        """
        text = json.dumps({"schema_version": SCHEMA_VERSION, **facts}, indent=2, ensure_ascii=False)
        atomic_write(self.path / _RUN, text + "\n")

    def log(self, entries: Sequence[Mapping[str, Any]], before: int) -> None:
        """Keep the log's entries up to a step and add further ones.

        Args:
            entries: New entries, each with its ``step``.
            before: Later steps of the old log are dropped; they belong to a session that lost its checkpoint.

        Raises:
            ResultError: It cannot be written.
        """
        kept = [entry for entry in self.read_log() if entry["step"] <= before]
        lines = [json.dumps(entry) + "\n" for entry in [*kept, *entries]]
        atomic_write(self.path / _LOG, "".join(lines))

    def read_log(self) -> list[dict[str, Any]]:
        """The log: a dict for each step.

        It has ``step``, ``epoch``, ``loss``, ``logit_scale``, ``logit_scale_grad``, in-batch accuracies,
        ``learning_rate`` and ``samples_per_second``; that of an earlier version has less.
        """
        try:
            text = (self.path / _LOG).read_text()
            entries = [dict(json.loads(line)) for line in text.splitlines()]
            if not all(isinstance(entry.get("step"), int) for entry in entries):
                raise ValueError("a line has no step")
            return entries
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ResultError(
                f"{self.path / _LOG}: cannot be read: {reason(error)}; remove it to go on without the log so far"
            ) from error


def _frozen(recipe: Mapping[str, Any]) -> list[str]:
    """What a saved recipe froze, in today's words: before layers could be unfrozen, a tower included its projection."""
    towers = list(recipe.get("freeze", ()))
    return towers if "unfreeze_image_layers" in recipe else [*towers, *(f"{tower}_projection" for tower in towers)]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
