"""Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685) of any model, through peft."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from clipbench.errors import ConfigError
from clipbench.models.base import Model
from clipbench.models.spec import PAIRED_ENCODERS
from clipbench.training.freezing import logit_bias_parameter, logit_scale_parameter
from clipbench.training.towers import SIDES, find_towers

_ADAPTER = "default"
_PACKED = "in_proj_weight"  # of torch.nn.MultiheadAttention: query, key and value
_PROJECTIONS = ("visual_projection", "text_projection")
_PAIRS = ("vision-text-dual-encoder", PAIRED_ENCODERS)


def add_lora(model: Model, rank: int, alpha: float, seed: int = 0) -> dict[str, int]:
    """Freeze a model's weights and train low-rank updates of its linear layers instead, in place.

    Adapted are the linear layers that the features depend on, and the packed query, key and value weights of
    ``torch.nn.MultiheadAttention``, but not its output projection: attention reads that weight past the layer, so that
    an adapter around it would have no effect. The projections into the shared space are left as they are; a dual
    encoder's, which start from random values, are trained whole, as is the logit scale. What was frozen before stays
    frozen. The updates start at zero: features are at first unchanged.

    Args:
        model: The model, its weights in float32, and its frozen towers frozen.
        rank: The updates' rank.
        alpha: Updates are scaled with ``alpha / rank``.
        seed: Of the updates' initial values.

    Returns:
        How many layers were adapted, by tower.

    Raises:
        ConfigError: peft is not installed, the rank is below 1, or a trained tower has no linear layer to adapt.
    """
    if rank < 1:
        raise ConfigError(f"lora_rank {rank}: give 1 or more")
    kept = _trained_whole(model)
    targets = _targets(model)
    weights = list(dict.fromkeys(name for names in targets.values() for name in names))
    # Not manual_seed: that would seed every accelerator as well. Updates are drawn on the CPU.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        _inject(model.module, weights, {"r": rank, "lora_alpha": alpha})
    for name, parameter in model.module.named_parameters():
        parameter.requires_grad_(".lora_" in name or name in kept)
    return {side: len(names) for side, names in targets.items()}


@contextlib.contextmanager
def merged(model: Model) -> Iterator[None]:
    """Temporarily add the updates of ``add_lora`` to the weights and remove the adapters.

    Parameters have their original names, so ``model.save`` writes an ordinary checkpoint. Afterwards the weights are
    restored bit for bit, from a copy. Without LoRA nothing happens.
    """
    adapted = [(path, part) for path, part in model.module.named_modules() if hasattr(part, "get_delta_weight")]
    originals: list[tuple[torch.Tensor, torch.Tensor]] = []
    try:
        with torch.no_grad():
            for path, layer in adapted:
                weight = getattr(layer.get_base_layer(), _weight_name(layer))
                originals.append((weight, weight.clone()))
                # In place: fingerprints depend on the tensor's version counter.
                weight.add_(layer.get_delta_weight(_ADAPTER))
                _replace(model.module, path, layer.get_base_layer())
        yield
    finally:
        for path, layer in adapted:
            _replace(model.module, path, layer)
        with torch.no_grad():
            for weight, original in originals:
                weight.copy_(original)


def _targets(model: Model) -> dict[str, list[str]]:
    """Names of the weights to adapt, by tower."""
    modules = dict(model.module.named_modules())
    trained = [name for name, parameter in model.module.named_parameters() if parameter.requires_grad]
    targets: dict[str, list[str]] = {}
    towers = find_towers(model)
    for side in SIDES:
        tower, projection = towers[side], model.projection_parameters(side)
        live = [name for name in trained if name in tower.parameters]
        # An adapter has no effect on a layer that is never called, only its weight read.
        running = [name for name in live if name.rpartition(".")[0] in tower.modules and name not in projection]
        targets[side] = [name for name in running if _is_adaptable(modules, name)]
        if not targets[side] and not projection.issuperset(live):
            raise ConfigError(
                f"{model.id}: no linear layer of the {side} tower can have LoRA: freeze it or set lora_rank to 0"
            )
    return targets


def _is_adaptable(modules: Mapping[str, torch.nn.Module], name: str) -> bool:
    path, _, weight = name.rpartition(".")
    if weight == _PACKED:
        return isinstance(modules[path], torch.nn.MultiheadAttention)
    # open_clip asks whether its projection is a torch.nn.Linear, which an adapter is not.
    return weight == "weight" and isinstance(modules[path], torch.nn.Linear)


def _is_projection(name: str) -> bool:
    return any(part in _PROJECTIONS for part in name.split(".")[:-1])


def _trained_whole(model: Model) -> set[str]:
    """Names of the trained parameters that stay as they are: scale and bias of the logits, a pair's projections."""
    whole = {logit_scale_parameter(model), logit_bias_parameter(model)}
    config = getattr(model.module, "config", None)
    paired = getattr(config, "model_type", None) in _PAIRS
    return {
        name
        for name, parameter in model.module.named_parameters()
        if parameter.requires_grad and (parameter in whole or (paired and _is_projection(name)))
    }


def _inject(module: Any, weights: Sequence[str], options: Mapping[str, Any]) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise ConfigError("lora_rank: LoRA needs peft; run pip install 'clipbench[lora]'") from None

    layers = []
    for name in weights:
        path, _, weight = name.rpartition(".")
        if weight != _PACKED:
            layers.append(re.escape(path))
            continue
        # Injected from the parent block: peft matches parameters by the end of their names, and in open_clip's
        # CLIP the names of the text tower's are the ends of the image tower's.
        block, _, attention = path.rpartition(".")
        config = LoraConfig(target_modules=[], target_parameters=[f"{attention}.{_PACKED}"], **options)
        inject_adapter_in_model(config, module.get_submodule(block), _ADAPTER)
    if layers:  # one pattern, matched in full, for the same reason
        inject_adapter_in_model(LoraConfig(target_modules="|".join(layers), **options), module, _ADAPTER)


def _weight_name(layer: Any) -> str:
    return str(getattr(layer, "parameter_name", "weight"))


def _replace(module: torch.nn.Module, path: str, part: torch.nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, part)
