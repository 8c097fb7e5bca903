"""Checkpoints of a run: written atomically, pruned on request, with all that an exact resume needs.

checkpoint-000120/            a model folder, which `clipbench eval --model` takes as it is
  training.json             step, epoch, loss, and a digest of the state
  training_state.safetensors  trained weights, their average, buffers, AdamW's moments; only in the newest checkpoints
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from clipbench.data.records import sha256_of
from clipbench.errors import DataError, ResultError
from clipbench.models import Model
from clipbench.training.ema import WeightAverage, trained_weights
from clipbench.training.lora import merged
from clipbench.training.options import STATES_KEPT
from clipbench.training.sharding import gathered, like
from clipbench.utils.files import atomic_directory, remove_parts
from clipbench.utils.text import reason

_NAME = re.compile(r"checkpoint-(?P<step>\d+)")
_STATE, _FACTS = "training_state.safetensors", "training.json"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError)


@dataclass(frozen=True, slots=True)
class TrainingState:
    """The progress of a run.

    Attributes:
        step: Optimizer steps done.
        epoch: Epochs done, a fraction.
        loss: Mean loss since the checkpoint before; None if there were no steps.
        seconds: Training time so far, over all sessions.
        scaler: State of the fp16 loss scaler; empty in other precisions.
    """

    step: int
    epoch: float
    loss: float | None
    seconds: float
    scaler: Mapping[str, Any]


def checkpoints_in(directory: Path) -> list[Path]:
    """The finished checkpoints of a run's folder, oldest first."""
    found = [
        path for path in directory.glob("checkpoint-*") if _NAME.fullmatch(path.name) and (path / _FACTS).is_file()
    ]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step a checkpoint was made after, from its name."""
    match = _NAME.fullmatch(checkpoint.name)
    return int(match["step"]) if match else -1


def epoch_of(checkpoint: Path) -> float:
    """The epochs a finished checkpoint was made after, a fraction.

    Raises:
        ResultError: The checkpoint cannot be read.
    """
    try:
        return float(json.loads((checkpoint / _FACTS).read_text())["epoch"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ResultError(f"{checkpoint / _FACTS}: cannot be read: {reason(error)}") from error


def write_checkpoint(directory: Path, model: Model, tensors: Mapping[str, Tensor], state: TrainingState) -> Path:
    """Write a checkpoint atomically: the model as it is, and the ``state_tensors`` to resume from.

    Raises:
        ResultError: It cannot be written (the disk is full, …); earlier checkpoints are kept.
    """
    path = directory / f"checkpoint-{state.step:06d}"
    try:
        with atomic_directory(path) as part:
            with merged(model):
                model.save(part)
            save_file(dict(tensors), part / _STATE)
            facts = {**asdict(state), "state_sha256": sha256_of(part / _STATE)}
            (part / _FACTS).write_text(json.dumps(facts, indent=2) + "\n")
    except (ResultError, SafetensorError, RuntimeError) as error:
        # The reason without the path of the temporary directory, which is gone.
        reason = getattr(error.__cause__, "strerror", None) or error
        raise ResultError(
            f"{path}: cannot be written: {reason}; earlier checkpoints are kept: free disk space and resume the run"
        ) from error
    return path


def read_checkpoint(
    checkpoint: Path, model: Model, optimizer: torch.optim.Optimizer, average: WeightAverage
) -> TrainingState:
    """Restore the weights, their average and the optimizer's moments.

    Raises:
        ResultError: The state is missing or damaged.
    """
    try:
        facts = json.loads((checkpoint / _FACTS).read_text())
        if sha256_of(checkpoint / _STATE) != facts.pop("state_sha256"):
            raise ResultError(f"{checkpoint / _STATE}: damaged: the checksum differs")
        tensors = load_file(checkpoint / _STATE)
        state = TrainingState(**facts)
        if not all(isinstance(value, int | float) for value in (state.step, state.seconds)):
            raise TypeError("its facts are damaged")
        _restore(model.module, optimizer, average, tensors)
    except (*_DAMAGE, DataError, SafetensorError) as error:
        raise ResultError(f"{checkpoint}: cannot be read: {reason(error)}") from error
    return state


def prune(directory: Path, keep: int | None, chosen: int | None = None) -> None:
    """Delete old training states, and whole checkpoints beyond the newest ``keep``; the ``chosen`` step's stay.

    Raises:
        ResultError: A checkpoint cannot be deleted.
    """
    found = checkpoints_in(directory)
    stale = found[:-keep] if keep else []
    for checkpoint in found:
        if step_of(checkpoint) == chosen:
            continue
        try:
            if checkpoint in stale:
                shutil.rmtree(checkpoint)
            elif checkpoint not in found[-STATES_KEPT:]:
                (checkpoint / _STATE).unlink(missing_ok=True)
        except OSError as error:
            raise ResultError(f"{checkpoint}: cannot be deleted: {error.strerror or error}") from error


def restorable(directory: Path) -> dict[int, Path]:
    """Step to checkpoint, of those that still have their training state."""
    return {step_of(path): path for path in checkpoints_in(directory) if (path / _STATE).is_file()}


def drop_checkpoints(directory: Path, steps: Collection[int]) -> None:
    """Delete the checkpoints of these steps, if they exist."""
    for checkpoint in checkpoints_in(directory):
        if step_of(checkpoint) in steps:
            shutil.rmtree(checkpoint)


def sweep(directory: Path) -> None:
    """Delete the partial checkpoints and models of killed sessions."""
    remove_parts(directory, "checkpoint-*")
    remove_parts(directory, "model*")


def state_tensors(module: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage) -> dict[str, Tensor]:
    """What a run resumes from besides ``TrainingState``; of a sharded model, all processes must take part."""
    tensors: dict[str, Tensor] = dict(_destinations(module, average))
    for name, weight in trained_weights(module).items():
        tensors |= {f"{key}/{name}": value for key, value in optimizer.state.get(weight, {}).items()}
    # Buffers may share memory, which safetensors refuses.
    return {name: gathered(tensor.detach()).cpu().clone().contiguous() for name, tensor in tensors.items()}


@torch.no_grad()
def _restore(
    module: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage, state: Mapping[str, Tensor]
) -> None:
    destinations = _destinations(module, average)
    for name, tensor in destinations.items():  # before anything is changed
        if state[name].shape != tensor.shape:
            raise ValueError(f"{name} is of another shape")
    for name, tensor in destinations.items():
        tensor.copy_(like(tensor, state[name]))
    for name, weight in trained_weights(module).items():
        moments = {key: state[f"{key}/{name}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}/{name}" in state}
        if moments:
            on_device = {key: like(weight, value) if key != "step" else value for key, value in moments.items()}
            optimizer.state[weight] = {**on_device, "step": _step_counter(optimizer, on_device["step"], weight)}


def _destinations(module: nn.Module, average: WeightAverage) -> dict[str, Tensor]:
    """What a state holds besides the optimizer's moments, by name."""
    found: dict[str, Tensor] = {f"weight/{name}": weight for name, weight in trained_weights(module).items()}
    found |= {f"buffer/{name}": buffer for name, buffer in module.named_buffers()}
    return found | {f"average/{name}": weight for name, weight in average.weights.items()}


def _step_counter(optimizer: torch.optim.Optimizer, step: Tensor, weight: Tensor) -> Tensor:
    # The fused AdamW keeps its step counter on the weights' device, the plain one on the CPU.
    return step.to(weight.device) if optimizer.defaults.get("fused") else step
