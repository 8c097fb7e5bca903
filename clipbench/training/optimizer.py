"""AdamW as the paper's training uses it: no decay of vectors, a loss scaler for fp16, a bound on the logit scale."""

from __future__ import annotations

import torch

from clipbench.models import Model
from clipbench.training.freezing import clamp_logit_scale, weight_decay_groups
from clipbench.training.losses import MAX_LOGIT_SCALE
from clipbench.training.recipe import Recipe


class Optimizer:
    """Updates a model's trained weights.

    Args:
        model: The model.
        recipe: Weight decay, gradient clipping, precision.

    Attributes:
        adamw: The optimizer of torch.
        scaler: The loss scaler; disabled unless the precision is fp16.
    """

    def __init__(self, model: Model, recipe: Recipe) -> None:
        self._model, self._recipe = model, recipe
        self.adamw = torch.optim.AdamW(
            weight_decay_groups(model, recipe.weight_decay),
            lr=recipe.learning_rate,
            fused=model.device.type in ("cpu", "cuda"),
        )
        self.scaler = torch.amp.GradScaler(model.device.type, enabled=recipe.precision == "fp16")

    def step(self, learning_rate: float) -> None:
        """Take a step along the gradients, and clear them."""
        groups = self.adamw.param_groups
        for group in groups:
            group["lr"] = learning_rate
        if self._recipe.max_grad_norm is not None:
            self.scaler.unscale_(self.adamw)
            weights = [weight for group in groups for weight in group["params"]]
            torch.nn.utils.clip_grad_norm_(weights, self._recipe.max_grad_norm)
        self.scaler.step(self.adamw)
        self.scaler.update()
        self.adamw.zero_grad(set_to_none=True)
        if self._recipe.loss != "sigmoid":  # SigLIP's own scale is above the bound
            clamp_logit_scale(self._model, MAX_LOGIT_SCALE)
