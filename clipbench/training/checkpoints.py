"""Checkpoints of a run: whole or not there, few or all kept, and enough in them to go on as if nothing had happened.

checkpoint-000120/            a model folder, which `clipbench eval --model` takes as it is
training.json             step, epoch, loss, and a digest of the state
training_state.safetensors  trained weights, buffers, AdamW's moments; of the newest checkpoints only
"""

from __future__ import annotations

import json
import os
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
from clipbench.errors import ResultError
from clipbench.models import Model
from clipbench.training.lora import merged

_NAME = re.compile(r"checkpoint-(?P<step>\d+)")
_STATE, _FACTS = "training_state.safetensors", "training.json"
_STATES_KEPT = 2  # the newest, and one to fall back on


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Where a run stands.

    Attributes:
        step: Optimizer steps done.
        epoch: Epochs done, a fraction.
        loss: Mean loss since the checkpoint before; None where no step was done.
        seconds: Time spent on training so far, over all its sessions.
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
        ResultError: It does not say.
    """
    try:
        return float(json.loads((checkpoint / _FACTS).read_text())["epoch"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{checkpoint / _FACTS}: cannot be read: {error}") from error


def write_checkpoint(directory: Path, model: Model, optimizer: torch.optim.Optimizer, state: TrainingState) -> Path:
    """Write a checkpoint beside its place and rename it, so that half of one is never found.

    Raises:
        ResultError: It cannot be written (the disk is full, …); earlier checkpoints are as they were.
    """
    place = directory / f"checkpoint-{state.step:06d}"
    beside = directory / f".{place.name}.part"
    try:
        shutil.rmtree(beside, ignore_errors=True)
        with merged(model):
            model.save(beside)
        save_file(_state(model.module, optimizer), beside / _STATE)
        facts = {**asdict(state), "state_sha256": sha256_of(beside / _STATE)}
        (beside / _FACTS).write_text(json.dumps(facts, indent=2) + "\n")
        for file in beside.iterdir():
            _sync(file)
        if place.exists():  # of a sitting whose state was lost since
            shutil.rmtree(place)
        os.replace(beside, place)
        _sync(directory)
    except (OSError, SafetensorError, RuntimeError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise ResultError(
            f"cannot write {place}: {reason}; earlier checkpoints are kept: make room and start the same command again"
        ) from error
    return place


def read_checkpoint(checkpoint: Path, model: Model, optimizer: torch.optim.Optimizer) -> TrainingState:
    """Put weights and the optimizer's moments back as they were.

    Raises:
        ResultError: The state is not there or not what was written.
    """
    try:
        facts = json.loads((checkpoint / _FACTS).read_text())
        if sha256_of(checkpoint / _STATE) != facts.pop("state_sha256"):
            raise ResultError(f"{checkpoint / _STATE}: not as it was written")
        tensors = load_file(checkpoint / _STATE)
        state = TrainingState(**facts)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ResultError(f"{checkpoint}: cannot be read: {error}") from error
    _restore(model.module, optimizer, tensors)
    return state


def prune(directory: Path, keep: int | None) -> None:
    """Delete old training states, and whole checkpoints beyond the newest ``keep``."""
    found = checkpoints_in(directory)
    for checkpoint in found[:-_STATES_KEPT]:
        (checkpoint / _STATE).unlink(missing_ok=True)
    for checkpoint in found[:-keep] if keep else []:
        shutil.rmtree(checkpoint)


def drop_checkpoints(directory: Path, steps: Collection[int]) -> None:
    """Delete the checkpoints of some steps, where they are there."""
    for checkpoint in checkpoints_in(directory):
        if step_of(checkpoint) in steps:
            shutil.rmtree(checkpoint)


def sweep(directory: Path) -> None:
    """Delete what a killed sitting left half-written."""
    for part in directory.glob(".checkpoint-*"):
        shutil.rmtree(part, ignore_errors=True)


def _state(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f"weight/{name}": weight.detach() for name, weight in _trained(module)}
    tensors |= {f"buffer/{name}": buffer for name, buffer in module.named_buffers()}
    for name, weight in _trained(module):
        tensors |= {f"{key}/{name}": value for key, value in optimizer.state.get(weight, {}).items()}
    # Buffers may share memory, which safetensors refuses.
    return {name: tensor.cpu().clone().contiguous() for name, tensor in tensors.items()}


@torch.no_grad()
def _restore(module: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    for name, weight in _trained(module):
        weight.copy_(state[f"weight/{name}"])
        moments = {key: state[f"{key}/{name}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}/{name}" in state}
        if moments:
            on_device = {key: value.to(weight.device) if key != "step" else value for key, value in moments.items()}
            optimizer.state[weight] = {**on_device, "step": _step_counter(optimizer, on_device["step"], weight)}
    for name, buffer in module.named_buffers():
        buffer.copy_(state[f"buffer/{name}"])


def _step_counter(optimizer: torch.optim.Optimizer, step: Tensor, weight: Tensor) -> Tensor:
    # The fused AdamW keeps its counter beside the weights, the plain one on the CPU.
    return step.to(weight.device) if optimizer.defaults.get("fused") else step


def _trained(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, weight) for name, weight in module.named_parameters() if weight.requires_grad]


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
