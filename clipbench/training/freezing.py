"""Which of a model's parameters are trained: freezing towers and projections, the logit scale, and weight decay."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Final

import torch

from clipbench.errors import ConfigError
from clipbench.models.base import Model
from clipbench.training.towers import SIDES, Tower, find_towers, last_layers
from clipbench.utils.registry import close_matches

PARTS: Final = ("image", "text", "image_projection", "text_projection")


def freeze(
    model: Model,
    parts: Collection[str] = (),
    unfreeze_layers: Mapping[str, int] | None = None,
    *,
    train_bias: bool = False,
) -> tuple[str, ...]:
    """Keep parts of a model as they are: no gradients for their parameters.

    Parameters that features do not depend on (CoCa's decoder, an unread pooler) are frozen always: they would get no
    gradient, but weight decay would shrink them. The logit scale is trained always. Nothing is unfrozen. A parameter
    that both towers use is frozen with either.

    Args:
        model: The model.
        parts: Of ``PARTS``: ``image`` and ``text`` are the towers without their projections into the shared space
            (whole, if the model sets none apart), ``image_projection`` and ``text_projection`` are these.
        unfreeze_layers: For a frozen tower, how many of its last layers are trained still, with all that follows them.
        train_bias: Train SigLIP's ``logit_bias`` too, which only the sigmoid loss depends on.

    Returns:
        The names of the parameters that features do not depend on, in the network's order.

    Raises:
        ConfigError: A part is unknown, or the model does not have it.
    """
    towers = find_towers(model)
    frozen = _frozen_parameters(model, towers, parts, unfreeze_layers or {})
    trained = {logit_scale_parameter(model), logit_bias_parameter(model) if train_bias else None}
    used = frozenset[str]().union(*(tower.parameters for tower in towers.values()))
    unused = []
    for name, parameter in model.module.named_parameters():
        if name not in used and parameter not in trained:
            unused.append(name)
            parameter.requires_grad_(False)
        elif name in frozen:
            parameter.requires_grad_(False)
    return tuple(unused)


def _frozen_parameters(
    model: Model, towers: Mapping[str, Tower], parts: Collection[str], unfreeze_layers: Mapping[str, int]
) -> frozenset[str]:
    _check_names(parts)
    frozen: set[str] = set()
    for side in SIDES:
        projection = model.projection_parameters(side)
        if side in parts:
            last = last_layers(model, side, towers[side], unfreeze_layers.get(side, 0))
            frozen |= towers[side].parameters - projection - last.parameters
        if f"{side}_projection" in parts:
            if not projection:
                raise ConfigError(
                    f"freeze {side}_projection: {model.id} has no {side} projection apart from its {side} encoder: "
                    f"{side} freezes both"
                )
            frozen |= projection
    return frozenset(frozen)


def frozen_modules(
    model: Model, frozen: Collection[str] = (), unfreeze_layers: Mapping[str, int] | None = None
) -> frozenset[str]:
    """Names of the modules that stay in evaluation mode while the rest is trained.

    So a frozen tower has no dropout, and its batch statistics stay. Statistics also stay wherever a
    normalisation's own weights are frozen (as all are under LoRA).

    Args:
        model: The model, its parameters frozen as wanted.
        frozen: The frozen parts, as in ``freeze``.
        unfreeze_layers: As in ``freeze``.

    Raises:
        ConfigError: A part is unknown.
    """
    _check_names(frozen)
    modules = dict(model.module.named_modules())
    sides = [side for side in SIDES if side in frozen]
    towers = find_towers(model) if sides else {}
    kept: set[str] = set()
    for side in sides:
        tower, projection = towers[side], model.projection_parameters(side)
        last = last_layers(model, side, tower, (unfreeze_layers or {}).get(side, 0))
        kept |= {path for path in tower.modules if path not in last.modules and not _is_within(path, tower, projection)}
    for path, module in modules.items():
        weights = list(module.parameters(recurse=False))
        if hasattr(module, "running_mean") and weights and not any(weight.requires_grad for weight in weights):
            kept.add(path)
    return frozenset(kept)


def training_mode(module: torch.nn.Module, frozen: Collection[str] = ()) -> None:
    """Put a network into training mode, and the modules of ``frozen_modules`` into evaluation mode."""
    module.train()
    for path, part in module.named_modules():
        if path in frozen:
            part.training = False  # not eval(): that would reach into parts of the other tower


def logit_scale_parameter(model: Model) -> torch.nn.Parameter | None:
    """Return the parameter behind ``model.logit_scale``.

    Returns:
        A scalar or one-element parameter: the scale's logarithm or, in ALIGN, a temperature, its reciprocal.
        None where the model has no trainable scale.
    """
    named = dict(model.module.named_parameters())
    return named.get("logit_scale", named.get("temperature"))


def logit_bias_parameter(model: Model) -> torch.nn.Parameter | None:
    """Return SigLIP's bias of the logits, a scalar or one-element parameter; None where the model has none."""
    return dict(model.module.named_parameters()).get("logit_bias")


@torch.no_grad()
def clamp_logit_scale(model: Model, maximum: float = 100.0) -> None:
    """Keep the factor on cosine_similarity at or below ``maximum``, in place; to be called after every optimizer step.

    CLIP clips it at 100 so that training stays stable (Radford et al. 2021, section 2.5).
    """
    parameter = logit_scale_parameter(model)
    if parameter is None:
        return
    if hasattr(model.module, "logit_scale"):
        parameter.clamp_(max=math.log(maximum))
    else:
        parameter.clamp_(min=1.0 / maximum)


def weight_decay_groups(
    model: Model, weight_decay: float, rates: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Split trained parameters into groups for AdamW.

    Matrices, embeddings and kernels (two dimensions or more) decay; biases, gains of normalisations, class
    embeddings of one dimension and the logit scale do not.

    Args:
        model: The model, frozen as wanted.
        weight_decay: Of what decays.
        rates: The learning rate of each parameter by name; None if there is one for all.

    Returns:
        One or two parameter groups for each rate (an empty one is left out), each in the network's order.
    """
    trained = [(name, weight) for name, weight in model.module.named_parameters() if weight.requires_grad]
    groups: list[dict[str, Any]] = []
    for rate in dict.fromkeys(rates[name] for name, _ in trained) if rates else (None,):
        weights = [weight for name, weight in trained if rates is None or rates[name] == rate]
        own = {} if rate is None else {"lr": rate}
        groups += [
            {"params": [weight for weight in weights if weight.ndim >= 2], "weight_decay": weight_decay, **own},
            {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0, **own},
        ]
    return [group for group in groups if group["params"]]


def _is_within(path: str, tower: Tower, projection: Collection[str]) -> bool:
    """Whether all parameters of a module are the projection's."""
    below = {name for name in tower.parameters if name.startswith(f"{path}.")}
    return bool(below) and below <= set(projection)


def _check_names(parts: Collection[str]) -> None:
    for name in parts:
        if name not in PARTS:
            raise ConfigError(f"unknown tower {name!r}{close_matches(name, PARTS)}: one of {', '.join(PARTS)}")
