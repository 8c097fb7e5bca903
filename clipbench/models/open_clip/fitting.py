"""Fitting an architecture to a checkpoint's weights: their shapes decide, and nothing is resized."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from clipbench.errors import ModelError
from clipbench.models import checks

State = Mapping[str, torch.Tensor]


def fit_to_weights(config: Mapping[str, Any], state: State, source: str, *, adjust: bool) -> dict[str, Any]:
    """Return a ``model_cfg`` with the image size, the context length and the logit bias of the weights.

    open_clip would silently interpolate position embeddings to the sizes in the configuration.

    Args:
        config: The ``model_cfg`` of the architecture.
        state: The weights.
        source: The checkpoint, for messages.
        adjust: Take sizes from the weights; otherwise, sizes that differ are refused.

    Raises:
        ModelError: The weights are of another architecture; this is detected before anything is built.
    """
    _check_layers(config, state, source)
    _check_dimensions(config, state, source)
    fitted: dict[str, Any] = copy.deepcopy(dict(config))
    sizes = {("vision_cfg", "image_size"): _image_size(config, state, source)}
    sizes["text_cfg", "context_length"] = _context_length(config, state)
    for (part, name), shown in sizes.items():
        stated = config[part].get(name, 224 if name == "image_size" else 77)
        if shown is None or shown == stated:
            continue
        if not adjust:
            raise ModelError(
                f"{source}: the configuration says {name} {stated}, the weights are for {shown}: correct it there, "
                f"or pass model_args {name}={shown}"
            )
        fitted[part][name] = shown
    # The bias of SigLIP's loss is kept with the weights, but no similarity depends on it.
    fitted["init_logit_bias"] = float(state["logit_bias"].flatten()[0]) if "logit_bias" in state else None
    return {name: value for name, value in fitted.items() if value is not None}


def _check_layers(config: Mapping[str, Any], state: State, source: str) -> None:
    """Refuse more layers than there are weights, which would take minutes to build."""
    for part, numbers in config.items():
        layers = numbers.get("layers", 0) if isinstance(numbers, Mapping) else 0
        count = sum(layers) if isinstance(layers, list) else layers
        if count > len(state):
            raise ModelError(f"{source}: {part} says {count:,} layers, and there are only {len(state):,} weights")


def _check_dimensions(config: Mapping[str, Any], state: State, source: str) -> None:
    """Compare the widths of open_clip's own towers with the weights, before memory is allocated."""
    wrong = [
        f"{name}: {state[name].shape[axis]} for {wanted} along axis {axis}"
        for name, axis, wanted in _dimensions(config, state)
        if name in state and state[name].ndim > axis and state[name].shape[axis] != wanted
    ]
    checks.check_keys(source, missing=(), unexpected=(), shapes=wrong)
    most = sum(tensor.numel() for tensor in state.values())
    for part in ("vision_cfg", "text_cfg", "multimodal_cfg"):
        for name, value in config.get(part, {}).items():
            if isinstance(value, int) and value > max(most, 10**6):
                raise ModelError(f"{source}: {part} says {name} {value:,}, and the weights are {most:,} numbers")


def _dimensions(config: Mapping[str, Any], state: State) -> Iterator[tuple[str, int, int]]:
    vision, text = config["vision_cfg"], config["text_cfg"]
    if "hf_model_name" not in text:
        prefix = text_prefix(state)
        width = text.get("width", 512)
        yield f"{prefix}token_embedding.weight", 0, text.get("vocab_size", 49408)
        yield f"{prefix}token_embedding.weight", 1, width
        yield f"{prefix}transformer.resblocks.0.mlp.c_fc.weight", 0, int(width * text.get("mlp_ratio", 4.0))
    if "timm_model_name" not in vision and not isinstance(vision.get("layers"), list):
        width = vision.get("width", 768)
        yield "visual.conv1.weight", 0, width
        yield "visual.conv1.weight", 2, vision.get("patch_size", 16)
        yield "visual.transformer.resblocks.0.mlp.c_fc.weight", 0, int(width * vision.get("mlp_ratio", 4.0))
        yield "visual.proj", 1, config["embed_dim"]
    if decoder := config.get("multimodal_cfg"):
        yield "text_decoder.ln_final.weight", 0, decoder.get("width", 512)


def text_prefix(state: State) -> str:
    """The prefix of the names of a text tower's weights: ``text.`` in custom towers."""
    return "text." if "text.token_embedding.weight" in state else ""


def _image_size(config: Mapping[str, Any], state: State, source: str) -> Any:
    """The image size that follows from the position embeddings; None if there are none."""
    vision = config["vision_cfg"]
    stated = vision.get("image_size", 224)
    if (positions := state.get("visual.attnpool.positional_embedding")) is not None:  # ResNet
        patch = 32
    elif (positions := state.get("visual.positional_embedding")) is not None and "timm_model_name" not in vision:
        patch = int(vision.get("patch_size", 16))
    else:
        return None
    count = positions.shape[0] - 1  # the first is the class token's
    height, width = stated if isinstance(stated, list | tuple) else (stated, stated)
    if (height // patch) * (width // patch) == count:  # 384 pixels are 27 patches of 14, as 378 are
        return stated
    grid = round(count**0.5)
    if grid * grid != count:
        raise ModelError(f"{source}: its {count} image positions form no square: pass model_args image_size=HEIGHT")
    return grid * patch


def _context_length(config: Mapping[str, Any], state: State) -> int | None:
    text = config["text_cfg"]
    positions = state.get(f"{text_prefix(state)}positional_embedding")
    if positions is None or "hf_model_name" in text:
        return None
    return int(positions.shape[0]) - bool(text.get("embed_cls"))
