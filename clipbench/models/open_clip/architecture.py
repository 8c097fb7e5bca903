"""The configuration of an open_clip network that is in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from clipbench.models.open_clip import text_tower
from clipbench.models.open_clip.weight_files import config_from_state

_SIMPLE = (bool, int, float, str, tuple, type(None))


def architecture_of(network: Any) -> dict[str, Any] | None:
    """The ``model_cfg`` of a plain CLIP, read off the network.

    Returns:
        None where a network built from it would not be the same, as with timm's and transformers' towers.
    """
    import open_clip
    from open_clip.transformer import QuickGELU

    if type(network) is not open_clip.CLIP:
        return None
    try:
        config = config_from_state(network.state_dict())
        config["quick_gelu"] = any(isinstance(module, QuickGELU) for module in network.modules())
        config["text_cfg"] |= _block_settings(network.transformer) | {"heads": text_tower.heads(network)}
        if hasattr(network.visual, "transformer"):
            heads = text_tower.heads(network.visual)
            settings = {"head_width": config["vision_cfg"]["width"] // heads}
            config["vision_cfg"] |= _block_settings(network.visual.transformer) | settings
        with torch.device("meta"):
            built = open_clip.CLIP(**{key: _copied(value) for key, value in config.items()})
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        return None
    return config if _describe(built) == _describe(network) else None


def _block_settings(transformer: Any) -> dict[str, float]:
    return {"mlp_ratio": transformer.resblocks[0].mlp.c_fc.out_features / transformer.width}


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value  # open_clip may change what it is given


def _describe(network: torch.nn.Module) -> object:
    """Classes, simple attributes and shapes of a network's parts."""
    parts = {
        name: (type(part), {key: value for key, value in vars(part).items() if isinstance(value, _SIMPLE)})
        for name, part in network.named_modules()
    }
    for _, attributes in parts.values():
        for key in ("training", "image_mean", "image_std"):  # a state, and settings of the transform
            attributes.pop(key, None)
    return parts, {name: tensor.shape for name, tensor in network.state_dict().items()}
