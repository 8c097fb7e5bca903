"""Which of a model's parameters are trained: freezing towers, the logit scale, and weight decay."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from clipbench.errors import ConfigError
from clipbench.models import probes
from clipbench.models.base import Model
from clipbench.utils.registry import close_matches

TOWERS = ("image", "text")


@dataclass(frozen=True, slots=True)
class Tower:
    """One side of a model, projection included.

    Attributes:
        parameters: Names of the parameters that its features depend on.
        modules: Names of the modules that it runs, those without parameters (dropout) included.
    """

    parameters: frozenset[str]
    modules: frozenset[str]


def find_towers(model: Model) -> dict[str, Tower]:
    """Find which parameters and modules make image features and which make text features.

    They are found by tracing one image and a few texts, so that every architecture is covered and names do not
    matter. A parameter that both sides use is in both. Nothing of the model is changed: neither gradients nor modes.

    Returns:
        The towers, under ``image`` and ``text``.
    """
    pixels = model.preprocess(probes.gray_image())[None]
    tokens = model.tokenize(probes.TEXTS)
    with _everything_traced(model.module):
        return {
            "image": _trace(model.module, lambda: model.image_features(pixels)),
            "text": _trace(model.module, lambda: model.text_features(tokens)),
        }


def freeze(model: Model, towers: Collection[str] = (), *, train_bias: bool = False) -> tuple[str, ...]:
    """Keep towers as they are: no gradients for their parameters, projections included.

    Parameters that features do not depend on (CoCa's decoder, an unread pooler) are frozen always: they would get no
    gradient, but weight decay would shrink them. The logit scale is trained always. Nothing is unfrozen. A parameter
    that both towers use is frozen with either.

    Args:
        model: The model.
        towers: ``image``, ``text``, both or none.
        train_bias: Train SigLIP's ``logit_bias`` too, which only the sigmoid loss depends on.

    Returns:
        The names of the parameters that features do not depend on, in the network's order.

    Raises:
        ConfigError: The tower is unknown.
    """
    _check_names(towers)
    found = find_towers(model)
    trained = {logit_scale_parameter(model), logit_bias_parameter(model) if train_bias else None}
    used = frozenset[str]().union(*(tower.parameters for tower in found.values()))
    frozen = frozenset[str]().union(*(found[name].parameters for name in towers))
    unused = []
    for name, parameter in model.module.named_parameters():
        if name not in used and parameter not in trained:
            unused.append(name)
            parameter.requires_grad_(False)
        elif name in frozen:
            parameter.requires_grad_(False)
    return tuple(unused)


def training_mode(model: Model, frozen: Collection[str] = ()) -> None:
    """Put trained parts into training mode and frozen towers into evaluation mode.

    So a frozen tower has no dropout, and its batch statistics stay. Statistics also stay wherever a
    normalisation's own weights are frozen (as all are under LoRA).

    Args:
        model: The model, its parameters frozen as wanted.
        frozen: The frozen towers: ``image``, ``text``, both or none.

    Raises:
        ConfigError: The tower is unknown.
    """
    _check_names(frozen)
    modules = dict(model.module.named_modules())
    towers = find_towers(model) if frozen else {}
    model.module.train()
    for name in frozen:
        for path in towers[name].modules:
            modules[path].training = False  # not eval(): that would reach into parts of the other tower
    for module in modules.values():
        weights = list(module.parameters(recurse=False))
        if hasattr(module, "running_mean") and weights and not any(weight.requires_grad for weight in weights):
            module.training = False


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


def weight_decay_groups(model: Model, weight_decay: float) -> list[dict[str, Any]]:
    """Split trained parameters into groups for AdamW.

    Matrices, embeddings and kernels (two dimensions or more) decay; biases, gains of normalisations, class
    embeddings of one dimension and the logit scale do not.

    Returns:
        One or two parameter groups (an empty one is left out), each in the network's order.
    """
    trained = [parameter for parameter in model.module.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _check_names(towers: Collection[str]) -> None:
    for name in towers:
        if name not in TOWERS:
            raise ConfigError(f"unknown tower {name!r}{close_matches(name, TOWERS)}: one of {', '.join(TOWERS)}")


@contextlib.contextmanager
def _everything_traced(module: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode (no dropout, no new batch statistics) and gradients everywhere, put back at the end."""
    modes = [(part, part.training) for part in module.modules()]
    wants = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    module.eval()
    try:
        for parameter, _ in wants:
            parameter.requires_grad_(parameter.is_floating_point())
        with torch.enable_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode
        for parameter, wanted in wants:
            parameter.requires_grad_(wanted)


def _trace(module: torch.nn.Module, encode: Callable[[], torch.Tensor]) -> Tower:
    ran: set[str] = set()
    hooks = [
        part.register_forward_pre_hook(lambda *_, name=name: ran.add(name)) for name, part in module.named_modules()
    ]
    try:
        features = encode()
    finally:
        for hook in hooks:
            hook.remove()
    names, parameters = zip(*((n, p) for n, p in module.named_parameters() if p.requires_grad), strict=True)
    gradients = torch.autograd.grad(features.float().sum(), parameters, allow_unused=True)
    reached = (name for name, gradient in zip(names, gradients, strict=True) if gradient is not None)
    return Tower(parameters=frozenset(reached), modules=frozenset(ran))
