"""AdamW as the paper's training uses it: no decay of vectors, a loss scaler for fp16, a bound on the logit scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from clipbench.errors import ConfigError
from clipbench.models import Model
from clipbench.training.freezing import clamp_logit_scale, weight_decay_groups
from clipbench.training.losses import MAX_LOGIT_SCALE
from clipbench.training.recipe import Recipe
from clipbench.training.sharding import by_kind, gathered
from clipbench.training.towers import SIDES, find_layers, find_towers


def peak_rates(model: Model, recipe: Recipe) -> dict[str, float] | None:
    """The peak learning rate of each parameter by name; None if it is the recipe's for all.

    With ``layer_decay`` d, what follows a tower's last layer has the recipe's rate, the last layer d times as much, and
    so on, down to what comes before the first layer. The logit scale always has the recipe's rate, as do projections,
    unless they have one of their own.

    Raises:
        ConfigError: Such a rate is wanted where nothing is trained that it is for, or no layers are found.
    """
    if recipe.layer_decay == 1 and recipe.projection_learning_rate is None:
        return None
    decay, own_rate, towers = recipe.layer_decay, recipe.projection_learning_rate, find_towers(model)
    trained = {name for name, weight in model.module.named_parameters() if weight.requires_grad}
    rates = {name: recipe.learning_rate for name, _ in model.module.named_parameters()}
    layered = [side for side in SIDES if trained & (towers[side].parameters - model.projection_parameters(side))]
    projected = trained & (model.projection_parameters("image") | model.projection_parameters("text"))
    if decay < 1 and not layered:
        raise ConfigError(f"layer_decay {decay}: no encoder of {model.id} is trained")
    if own_rate is not None and not projected:
        raise ConfigError(f"projection_learning_rate {own_rate}: no projection of {model.id} is trained")
    for side in layered if decay < 1 else ():
        for above, layer in enumerate(reversed(find_layers(model, side, towers[side]))):
            rates |= dict.fromkeys(layer.parameters, recipe.learning_rate * decay**above)
    if own_rate is not None:
        rates |= dict.fromkeys(projected, own_rate)
    return rates


class Optimizer:
    """Updates a model's trained weights.

    Args:
        model: The model.
        recipe: Weight decay, gradient clipping, precision.
        rates: Of ``peak_rates``.

    Attributes:
        adamw: The optimizer of torch.
        scaler: The loss scaler; disabled unless the precision is fp16.
    """

    def __init__(self, model: Model, recipe: Recipe, rates: Mapping[str, float] | None = None) -> None:
        self._model, self._recipe = model, recipe
        self.adamw = torch.optim.AdamW(
            [
                {**group, "params": weights}
                for group in weight_decay_groups(model, recipe.weight_decay, rates)
                for weights in by_kind(group["params"])
            ],
            lr=recipe.learning_rate,
            fused=model.device.type in ("cpu", "cuda"),
        )
        self._peaks = [group["lr"] for group in self.adamw.param_groups]
        self.scaler = torch.amp.GradScaler(model.device.type, enabled=recipe.precision == "fp16")

    def step(self, learning_rate: float) -> None:
        """Take a step along the gradients, and clear them.

        Args:
            learning_rate: The recipe's at this step; parameters with other peak rates follow it in proportion.
        """
        groups, peak = self.adamw.param_groups, self._recipe.learning_rate
        for group, own_peak in zip(groups, self._peaks, strict=True):
            group["lr"] = learning_rate if own_peak == peak else own_peak * (learning_rate / peak)
        if self._recipe.max_grad_norm is not None:
            self.scaler.unscale_(self.adamw)
            self._clip([weight for group in groups for weight in group["params"]], self._recipe.max_grad_norm)
        self.scaler.step(self.adamw)
        self.scaler.update()
        self.adamw.zero_grad(set_to_none=True)
        if self._recipe.loss != "sigmoid":  # SigLIP's own scale is above the bound
            clamp_logit_scale(self._model, MAX_LOGIT_SCALE)

    @staticmethod
    def _clip(weights: Sequence[torch.nn.Parameter], max_norm: float) -> None:
        """Scale gradients down to a norm, that of sharded and whole ones together."""
        kinds = by_kind(weight for weight in weights if weight.grad is not None)
        norms = [
            gathered(torch.nn.utils.get_total_norm([weight.grad for weight in kind if weight.grad is not None]))
            for kind in kinds
        ]
        total = torch.stack(norms).norm() if len(norms) > 1 else norms[0]
        for kind in kinds:
            torch.nn.utils.clip_grads_with_norm_(kind, max_norm, total)
