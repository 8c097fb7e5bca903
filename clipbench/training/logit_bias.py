"""The bias of the sigmoid loss, for models that were trained without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch

from clipbench.models import Model
from clipbench.training.batches import Batches
from clipbench.training.freezing import logit_bias_parameter
from clipbench.training.gradient_cache import GradientCache
from clipbench.training.losses import LossInputs
from clipbench.training.losses.sigmoid import sigmoid
from clipbench.training.recipe import Recipe

if TYPE_CHECKING:
    from accelerate import Accelerator

_LARGEST: Final = 1_000.0
_HALVINGS: Final = 30


def ensure_logit_bias(
    model: Model,
    recipe: Recipe,
    accelerator: Accelerator,
    batches: Batches,
    *,
    image_features: bool,
    on_note: Callable[[str], None],
) -> None:
    """Give a model a ``logit_bias`` if the loss needs one that it has not, fitted to the first batch.

    Args:
        model: The model, in evaluation mode.
        recipe: The recipe.
        accelerator: The processes, each of which calls this.
        batches: The run's batches.
        image_features: Pixels come as features of a frozen image tower.
        on_note: Called with a message for the user.

    Raises:
        ModelError: The model cannot hold a bias.
    """
    if recipe.loss != "sigmoid" or logit_bias_parameter(model) is not None:
        return
    model.add_logit_bias(0.0)
    scaler = torch.amp.GradScaler(accelerator.device.type, enabled=False)
    gradients = GradientCache(model, recipe, accelerator, scaler, image_features=image_features)
    bias = best_bias(gradients.inputs(batches.make(0)))
    model.add_logit_bias(bias)
    on_note(f"the model has no logit bias: one is trained, from {bias:g}, and saved with it")


def best_bias(inputs: LossInputs) -> float:
    """The bias with which a batch's sigmoid loss is least, to two decimals.

    A model that was trained with a softmax has similarities of any level. AdamW moves a bias by about the learning rate
    per step, so from a fixed start, such as SigLIP's -10, it would not get there.
    """
    low, high = -_LARGEST, _LARGEST
    for _ in range(_HALVINGS):  # the loss is convex in the bias: its slope has one zero
        bias = torch.tensor((low + high) / 2, device=inputs.images.device, requires_grad=True)
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(sigmoid(replace(inputs, bias=bias)), bias)
        low, high = (low, bias.item()) if slope > 0 else (bias.item(), high)
    return round((low + high) / 2, 2)  # rounded, so that any number of processes starts equally
