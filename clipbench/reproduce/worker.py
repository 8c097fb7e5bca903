"""One training of a study, in a process of its own: ``python -m clipbench.reproduce.worker JOB.json``."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from clipbench.errors import ClipbenchError
from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import Recipe
from clipbench.utils.allocator import keep_freed_memory
from clipbench.utils.files import atomic_write, lock
from clipbench.utils.text import format_error

_log = logging.getLogger(__name__)


class TrainingJob(BaseModel):
    """What a worker does; the arguments of ``clipbench.training.trainer.FineTuning``.

    Attributes:
        model: The base model.
        train_data: What it is trained on.
        recipe: How the weights come about.
        options: How the training is carried out.
        output_path: Directory of the checkpoints and the model.
        lock: Lock file that the worker holds while it trains.
        outcome: JSON file for the reason of a failure; its ``error`` is null after a success.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    train_data: str
    recipe: Recipe
    options: FinetuneOptions
    output_path: Path
    lock: Path
    outcome: Path


def train(job: TrainingJob) -> None:
    """Train, reporting to the log; an unfinished training in the directory is resumed."""
    from clipbench.training.events import Checkpoint, StepLog
    from clipbench.training.trainer import FineTuning

    tuning = FineTuning.prepare(job.model, job.train_data, job.recipe, job.options, job.output_path, _log.info)
    last: StepLog | None = None
    for event in tuning.run():
        if isinstance(event, Checkpoint) and last and tuning.is_main:
            rate = f"{last.samples_per_second:,.0f} samples/s"
            numbers = (event.step, last.steps, last.epoch, last.loss, last.logit_scale, rate)
            _log.info("step %d of %d, epoch %.2f, loss %.3f, logit scale %.3g, %s", *numbers)
        last = event if isinstance(event, StepLog) else last


def main(job_file: str) -> int:
    """Do the job of a file; every process of a launcher such as ``torchrun`` runs this.

    Returns:
        The exit code: 0, or 1 after a failure whose reason is in the job's ``outcome``.
    """
    keep_freed_memory()
    logging.basicConfig(format="%(message)s")
    _log.setLevel(logging.INFO)
    job = TrainingJob.model_validate_json(Path(job_file).read_bytes())
    is_main, error = os.environ.get("RANK", "0") == "0", None
    with ExitStack() as held:
        if is_main:
            # Held by the training itself: when its study is killed, the next study must not start it a second time.
            held.enter_context(lock(job.lock, lambda: _log.info("waiting: another process is training this run")))
        try:
            train(job)
        except Exception as failure:
            error = format_error(failure)
            _log.error(error, exc_info=not isinstance(failure, ClipbenchError))
        # The first process to fail knows why; the others only see that it is gone.
        if (is_main or error) and not job.outcome.exists():
            atomic_write(job.outcome, json.dumps({"error": error}))
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
