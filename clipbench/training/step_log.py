"""What is kept of each step: numbers read from the device a step late, for the log, trackers and the progress bar."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clipbench.errors import ModelError
from clipbench.models import Model
from clipbench.training.collapse import CollapseWatch
from clipbench.training.events import StepLog
from clipbench.training.freezing import logit_scale_parameter
from clipbench.training.gradient_cache import Batch
from clipbench.training.in_batch_accuracy import ACCURACIES
from clipbench.training.learning_rate import learning_rate
from clipbench.training.setup import TrainingSetup


@dataclass(frozen=True, slots=True)
class PendingStep:
    """A step that is not logged yet; its numbers are still on the device.

    Attributes:
        step: The step, counted from 0.
        numbers: Loss, logit scale, the scale's gradient, in-batch accuracies.
        batch: Its batch.
    """

    step: int
    numbers: Tensor
    batch: Batch


class StepRecorder:
    """Logs the steps of a run.

    Args:
        setup: The run.
        model: The model that is trained.
        scaler: Scaled the loss that gradients were computed of.
        on_note: Called with a warning if training collapses.

    Attributes:
        entries: Entries that are not written yet.
    """

    def __init__(
        self, setup: TrainingSetup, model: Model, scaler: torch.amp.GradScaler, on_note: Callable[[str], None]
    ) -> None:
        self.entries: list[dict[str, Any]] = []
        self._setup, self._model, self._scaler = setup, model, scaler
        others = setup.pairs.negative_images
        self._watch = CollapseWatch(setup.recipe, on_note, 0 if others is None else others.shape[1])

    def take(self, step: int, loss: Tensor, accuracies: Tensor, batch: Batch) -> PendingStep:
        """Put a step's numbers together, on the device: reading them would wait for it.

        To be called after backward, before the optimizer's step clears the gradients.
        """
        model, scale = self._model, logit_scale_parameter(self._model)
        gradient = loss.new_full((), math.nan) if scale is None or scale.grad is None else scale.grad.float()
        unscaled = gradient / self._scaler.scale(torch.ones_like(loss))
        parts = (loss, model.logit_scale.detach(), unscaled, accuracies)
        return PendingStep(step, torch.cat([part.float().reshape(-1) for part in parts]), batch)

    def log(self, pending: PendingStep, samples_per_second: float) -> StepLog:
        """Log a step.

        Raises:
            ModelError: Its loss is not finite.
        """
        setup, step, steps = self._setup, pending.step, self._setup.batches.steps
        loss, scale, gradient, *shares = pending.numbers.tolist()
        if not math.isfinite(loss):
            raise ModelError(
                f"the loss of step {step + 1} is {loss} (batch {', '.join(pending.batch.ids[:8])}, …): the last"
                " checkpoint is kept; a lower learning_rate or precision bf16 may help"
            )
        self._watch.see(step + 1, loss, scale)
        event = StepLog(
            step=step + 1,
            steps=steps,
            epoch=(step + 1) / setup.batches.steps_per_epoch,
            loss=loss,
            logit_scale=scale,
            learning_rate=learning_rate(setup.recipe, step, steps),
            logit_scale_grad=gradient if math.isfinite(gradient) else None,
            accuracies={name: share for name, share in zip(ACCURACIES, shares, strict=True) if not math.isnan(share)},
            samples_per_second=samples_per_second,
        )
        self.entries.append({**event.values(), "epoch": round(event.epoch, 6)})
        if setup.options.report_to:
            known = {name: value for name, value in event.values().items() if name != "step" and value is not None}
            setup.accelerator.log(known, step=event.step)
        return event
