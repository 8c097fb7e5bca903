"""A study's training step: `clipbench finetune` in a process of its own, and what became of it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipbench.errors import ConfigError
from clipbench.reproduce.folder import StudyFolder, Trained
from clipbench.reproduce.options import StudyOptions
from clipbench.reproduce.schedule import Run, digest
from clipbench.reproduce.study import Study
from clipbench.training.checkpoints import checkpoints_in, epoch_of, step_of
from clipbench.training.datasets import dataset_name

_ERROR = "clipbench: error: "


def train(
    study: Study, run: Run, folder: StudyFolder, options: StudyOptions, inputs: Mapping[str, Any], lock: int
) -> Trained:
    """Train a run, or go on with it: in a process of its own its memory is its own, and so is its end.

    Args:
        study: The study.
        run: The run.
        folder: The study's folder.
        options: How it is done.
        inputs: What the weights depend on.
        lock: The run's lock, which the process inherits.

    Returns:
        How it went.

    Raises:
        ConfigError: The recipe has a value that the command line cannot take.
        ResultError: A checkpoint cannot be read.
    """
    command = finetune_command(study, run, folder, options)
    known = {"hash": digest(inputs), "inputs": dict(inputs), "command": shlex.join(command)}
    launcher = shlex.split(options.launcher) or [sys.executable]
    error = _run([*launcher, "-m", *command], folder.log(run), lock)
    if error:
        return Trained(**known, status="failed", error=error)
    facts = json.loads((folder.model(run) / "finetune.json").read_text())
    spent, steps = facts["training"]["seconds"], facts["training"]["steps"]
    return Trained(
        **known,
        status="finished",
        checkpoints=[(step_of(path), epoch_of(path)) for path in checkpoints_in(folder.model(run))],
        seconds=spent,
        samples_per_second=round(steps * facts["recipe"]["batch_size"] / max(spent, 1e-9), 1),
        peak_memory_bytes=facts["training"]["peak_memory_bytes"],
        precision=facts["recipe"]["precision"],
        model=facts["model"],
        data=facts["data"],
    )


def finetune_command(study: Study, run: Run, folder: StudyFolder, options: StudyOptions) -> list[str]:
    """The command line that trains a run: ``clipbench finetune …``, which makes the same model by itself.

    Raises:
        ConfigError: The recipe has a value that the command line cannot take.
    """
    flags: dict[str, object] = {
        "model": run.base_model,
        "train_data": study.training.data,
        "concept": run.concept,
        "negatives": run.negatives,
        "seed": run.seed,
        "output_path": folder.model(run),
        **study.training.recipe,
        "limit": study.training.limit,
        "device": options.device,
        "image_cache": options.image_cache,
        "num_workers": options.workers,
    }
    command = ["clipbench", "finetune"]
    for name, value in flags.items():
        if value is None:
            continue
        if isinstance(value, bool):
            raise ConfigError(f"recipe: {name} {value}: give a number or a word")
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        command += [f"--{name}", text]
    name = dataset_name(study.training.data)
    if name in options.data:
        command += ["--data", f"{name}={options.data[name]}"]
    return [*command, *(["--allow_missing"] if options.allow_missing else [])]


def _run(command: list[str], log: Path, lock: int) -> str | None:
    """Run a command to its end, with what it says in ``log``; returns why it failed, None where it did not."""
    log.parent.mkdir(exist_ok=True)
    before = log.stat().st_size if log.is_file() else 0
    with log.open("a", encoding="utf-8") as said:
        try:
            process = subprocess.Popen(  # noqa: S603  # the user's own launcher
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, pass_fds=[lock]
            )
        except OSError as error:
            return f"--launcher {command[0]}: {error.strerror}"
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    return _last_words(log, before, code) if code else None


def _last_words(log: Path, before: int, code: int) -> str:
    """Why a training ended, from what it said after the first ``before`` bytes, which are earlier sittings'."""
    said = log.read_bytes()[before:].decode(errors="replace")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(_ERROR)]
    if errors:  # a launcher may have had more to say after it
        return errors[-1].removeprefix(_ERROR)
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"the training ended with {how}{': ' + lines[-1] if lines else ''} ({log})"
