"""Low-rank updates (LoRA, arXiv 2106.09685) that a state_dict contains next to the weights they change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from clipbench.errors import ModelError

_PART = re.compile(r"^(?P<layer>.+)\.lora_(?P<side>[AB])(?P<rest>(\.\w+)?(\.weight)?)$")


def merge_lora(weights: Mapping[str, torch.Tensor], alpha: float | None, path: Path) -> dict[str, torch.Tensor]:
    """Add low-rank updates to their weights: ``W + B A · alpha / rank``, as loralib and peft compute it.

    Args:
        weights: A state_dict; one without ``lora_A`` and ``lora_B`` is returned unchanged.
        alpha: The scale.
        path: The file, for messages.

    Raises:
        ModelError: The scale is unknown, or an update has no plain weight that it fits.
    """
    parts = {name: match for name in weights if (match := _PART.match(name))}
    if not parts:
        return dict(weights)
    if alpha is None:
        raise ModelError(
            f"{path} holds LoRA updates and not their scale: pass model_args lora_alpha=NUMBER, as in training "
            "(0 if they are merged already), or save the merged weights"
        )
    merged = {_plain(name): tensor for name, tensor in weights.items() if name not in parts}
    for name, match in parts.items():
        if match["side"] == "B":
            continue
        layer, lower = match["layer"], weights[name]
        upper = weights.get(f"{layer}.lora_B{match['rest']}")
        weight = merged.get(f"{layer}.weight")
        if weight is None or upper is None or not _fits(weight, lower, upper):
            raise ModelError(f"{path}: the LoRA update of {layer} has no weight that it fits: save the merged weights")
        update = (upper.float() @ lower.float()) * (alpha / lower.shape[0])
        merged[f"{layer}.weight"] = (weight.float() + update).to(weight.dtype)
    return merged


def _fits(weight: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor) -> bool:
    joined = lower.ndim == upper.ndim == 2 and lower.shape[0] == upper.shape[1]
    return joined and weight.shape == (upper.shape[0], lower.shape[1])


def _plain(name: str) -> str:
    """The name without what peft inserts between a layer and its weight."""
    return name.replace(".base_layer.", ".")
