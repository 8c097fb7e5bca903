"""Building an open_clip network from a configuration, and loading exactly the weights of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from clipbench.models import checks

# Buffers that some versions saved but the network computes, and numbers in OpenAI's archives.
_COMPUTED = ("attn_mask", "position_ids", "input_resolution", "context_length", "vocab_size")


def create(name: str, config: Mapping[str, Any], dtype: torch.dtype, pretrained: str | None = None) -> Any:
    """A network with the weights of an open_clip tag, or without weights.

    Args:
        name: The architecture, or ``local-dir:`` and a directory.
        config: The ``model_cfg``, which may differ from the named architecture's.
        dtype: The precision to compute in.
        pretrained: A tag.
    """
    import open_clip

    text, vision = dict(config.get("text_cfg", {})), dict(config.get("vision_cfg", {}))
    if "hf_model_name" in text:
        text["hf_model_pretrained"] = False  # else the tower would be downloaded, only to be overwritten
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    return open_clip.create_model(
        name,
        pretrained,
        load_weights=pretrained is not None,
        precision=_precision(config, dtype),
        device="cpu",
        quick_gelu=bool(config.get("quick_gelu", False)),
        text_cfg=text,
        vision_cfg=vision,
        init_logit_bias=config.get("init_logit_bias"),
        pretrained_text=False,
        require_pretrained=pretrained is not None,
        weights_only=True,
    )


def load_weights(module: Any, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Load weights into a network. Unlike in open_clip's own loading, nothing is resized, filled in or left out.

    Raises:
        ModelError: Names or shapes differ.
    """
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    weights: dict[str, torch.Tensor] = dict(convert_state_dict(module, dict(state)))  # MobileCLIP's names
    if "positional_embedding" in weights and not hasattr(module, "positional_embedding"):
        weights = convert_to_custom_text_state_dict(weights)
    expected: dict[str, torch.Tensor] = module.state_dict()
    weights = {
        name: tensor for name, tensor in weights.items() if name in expected or name.split(".")[-1] not in _COMPUTED
    }
    for name in ("logit_scale", "logit_bias"):  # () and (1,) are both in use
        if name in weights and name in expected and weights[name].numel() == expected[name].numel() == 1:
            weights[name] = weights[name].reshape(expected[name].shape)
    checks.check_keys(
        source,
        missing=set(expected) - set(weights),
        unexpected=set(weights) - set(expected),
        shapes=[
            f"{name}: {tuple(weights[name].shape)} for {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in weights and weights[name].shape != tensor.shape
        ],
    )
    module.load_state_dict(weights)


def _precision(config: Mapping[str, Any], dtype: torch.dtype) -> str:
    """open_clip's name of a precision. Its mixed forms, with LayerNorms in float32, work for plain CLIPs only."""
    short = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]
    custom = config.get("custom_text") or "hf_model_name" in config.get("text_cfg", {})
    return f"pure_{short}" if custom and short != "fp32" else short
