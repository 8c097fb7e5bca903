"""A study's training step: a worker process, and the record of how it went."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from clipbench.reproduce.folder import StudyFolder, TrainingRecord
from clipbench.reproduce.options import StudyOptions
from clipbench.reproduce.steps import Run, base_run, recipe_of
from clipbench.reproduce.study import Study
from clipbench.reproduce.worker import TrainingJob
from clipbench.training.checkpoints import checkpoints_in, epoch_of, step_of
from clipbench.training.options import FinetuneOptions
from clipbench.utils.digest import digest
from clipbench.utils.files import atomic_write

_FLAGS = {"concepts": "concept", "workers": "num_workers"}  # fields whose flag has another name


def train(
    study: Study, run: Run, folder: StudyFolder, options: StudyOptions, inputs: Mapping[str, Any]
) -> TrainingRecord:
    """Train a run, or resume it, in a process of its own, whose memory and failures are its own.

    Args:
        study: The study.
        run: The run.
        folder: The study's folder.
        options: How the study is carried out.
        inputs: Everything that the weights depend on.

    Raises:
        ResultError: A checkpoint cannot be read, or the job cannot be written.
    """
    job = training_job(study, run, folder, options)
    job_file, log = folder.log(run).with_suffix(".job.json"), folder.log(run)
    log.parent.mkdir(exist_ok=True)
    atomic_write(job_file, job.model_dump_json(indent=2) + "\n")
    job.outcome.unlink(missing_ok=True)
    launcher = shlex.split(options.launcher) or [sys.executable]
    error = run_worker([*launcher, "-m", "clipbench.reproduce.worker", str(job_file)], log, job.outcome)
    record = {"hash": digest(inputs), "inputs": dict(inputs), "command": finetune_command(job)}
    if error:
        return TrainingRecord(**record, status="failed", error=error)
    facts = json.loads((job.output_path / "finetune.json").read_text())
    seconds, steps = facts["training"]["seconds"], facts["training"]["steps"]
    return TrainingRecord(
        **record,
        status="finished",
        checkpoints=[(step_of(path), epoch_of(path)) for path in checkpoints_in(job.output_path)],
        seconds=seconds,
        samples_per_second=round(steps * job.recipe.batch_size / max(seconds, 1e-9), 1),
        peak_memory_bytes=facts["training"]["peak_memory_bytes"],
        precision=facts["recipe"]["precision"],
        model=facts["model"],
        data=facts["data"],
    )


def training_job(study: Study, run: Run, folder: StudyFolder, options: StudyOptions) -> TrainingJob:
    """The training of a run."""
    of_base = study.base_training if run.is_base else None
    return TrainingJob(
        model=base_model(study, run, folder),
        train_data=of_base.data if of_base else study.training.data,
        recipe=recipe_of(study, run),
        options=FinetuneOptions(
            data=study.places(options.data) if of_base else study.training.places(options.data),
            model_args=base_args(study, run),
            device=options.device,
            workers=options.workers,
            image_cache=options.image_cache,
            allow_missing=options.allow_missing,
            limit=None if of_base else study.training.limit,
        ),
        output_path=folder.model(run),
        lock=folder.training_lock(run),
        outcome=folder.log(run).with_suffix(".outcome.json"),
    )


def base_model(study: Study, run: Run, folder: StudyFolder) -> str:
    """What a run's training starts from, as ``load_model`` takes it."""
    if run.is_base or study.base_training is None:
        return run.base_model
    return str(folder.model(base_run(study, run)))


def base_args(study: Study, run: Run) -> dict[str, object]:
    """What ``load_model`` is given with it: a base model of the study's own training needs nothing."""
    return dict(study.model_args) if run.is_base or study.base_training is None else {}


def finetune_command(job: TrainingJob) -> str:
    """The command that trains the same model without the study."""
    words = ["clipbench", "finetune", "--model", job.model, "--train_data", job.train_data]
    for part in (job.recipe, job.options):
        for field in fields(part):
            value = getattr(part, field.name)
            default = field.default if field.default_factory is MISSING else field.default_factory()
            if value != default:
                words += _flag(f"--{_FLAGS.get(field.name, field.name)}", value)
    return shlex.join([*words, "--output_path", str(job.output_path)])


def _flag(flag: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [flag]
    if isinstance(value, Mapping) and flag == "--data":
        return [word for name, place in value.items() for word in (flag, f"{name}={place}")]
    if isinstance(value, Mapping):
        return [flag, ",".join(f"{name}={part}" for name, part in value.items())]
    return [flag, ",".join(value) if isinstance(value, tuple) else str(value)]


def run_worker(command: Sequence[str], log: Path, outcome: Path) -> str | None:
    """Run a worker to its end, its output appended to ``log``; return why it failed, None if it did not."""
    with log.open("a", encoding="utf-8") as output:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # noqa: S603  # the user's own launcher
        except OSError as error:
            return f"launcher {command[0]}: {error.strerror}"
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if not code:
        return None
    reason: str | None = json.loads(outcome.read_text())["error"] if outcome.is_file() else None
    return reason or f"the training ended with {f'signal {-code}' if code < 0 else f'exit code {code}'} ({log})"
