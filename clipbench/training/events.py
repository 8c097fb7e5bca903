"""What a fine-tuning reports while it runs, and its clock."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from clipbench.results import Results
from clipbench.utils.memory import peak_resident_memory


@dataclass(frozen=True, slots=True)
class StepLog:
    """An optimizer step.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        epoch: Epochs done, a fraction.
        loss: The step's loss.
        logit_scale: The factor of the cosine similarities in the loss, 1 / temperature.
        learning_rate: The step's.
        logit_scale_grad: The loss's derivative with respect to the trained parameter behind the scale, its logarithm
            (ALIGN's temperature); None if it is not trained.
        accuracies: In-batch accuracies by name, see ``clipbench.training.in_batch_accuracy``; those that the batch
            has.
        samples_per_second: Pairs per second since the run was started or resumed, over all processes.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    logit_scale: float
    learning_rate: float
    logit_scale_grad: float | None
    accuracies: Mapping[str, float]
    samples_per_second: float

    def values(self) -> dict[str, float | None]:
        """What the log and trackers hold of it, by name."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "loss": self.loss,
            "logit_scale": self.logit_scale,
            "logit_scale_grad": self.logit_scale_grad,
            **self.accuracies,
            "learning_rate": self.learning_rate,
            "samples_per_second": round(self.samples_per_second, 2),
        }


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint and its scores.

    Attributes:
        step: Steps done; 0 for the base model, which has scores only.
        path: Its folder; None if it could not be written.
        results: Its scores; None if no tasks were named.
    """

    step: int
    path: Path | None
    results: Results | None


class Clock:
    """Time spent on training, before and since the run was resumed; paused while a checkpoint is written and scored.

    Args:
        seconds: Time spent before.
        step: Steps done before.
        batch_size: Pairs per step.
    """

    def __init__(self, seconds: float, step: int, batch_size: int) -> None:
        self._before, self._first, self._batch_size = seconds, step, batch_size
        self._spent, self._since = 0.0, time.perf_counter()

    @property
    def _here(self) -> float:
        return self._spent + (time.perf_counter() - self._since if self._since else 0.0)

    @property
    def seconds(self) -> float:
        """Seconds of training in all."""
        return self._before + self._here

    def samples_per_second(self, step: int) -> float:
        """Pairs per second since the run was started or resumed."""
        return (step - self._first) * self._batch_size / max(self._here, 1e-9)

    def pause(self) -> None:
        """Stop the clock."""
        self._spent, self._since = self._here, 0.0

    def resume(self) -> None:
        """Let it run again."""
        self._since = time.perf_counter()


def peak_memory(device: torch.device) -> int | None:
    """The most bytes that the process has used: of the GPU, or else of main memory; None on Windows without a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_resident_memory()
