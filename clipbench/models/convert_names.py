"""The weights of a CLIP under transformers' names and under open_clip's."""

from __future__ import annotations

from collections.abc import Mapping

import torch

SIDES = ("text_config", "vision_config")
# transformers' name of a part of a block, and open_clip's; attention projections are joined separately.
_BLOCK = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_OUTER = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
}
_TRANSPOSED = {"text_projection.weight": "text_projection", "visual_projection.weight": "visual.proj"}
_TOWERS = {"text_model.encoder.layers": "transformer", "vision_model.encoder.layers": "visual.transformer"}


def to_open_clip_names(state: Mapping[str, torch.Tensor], layers: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """Transformers' names to open_clip's."""
    renamed = {there: state[here].float() for here, there in _OUTER.items()}
    renamed |= {there: state[here].float().T.contiguous() for here, there in _TRANSPOSED.items()}
    for (here, there), side in zip(_TOWERS.items(), SIDES, strict=True):
        for layer in range(layers[side]):
            old, new = f"{here}.{layer}", f"{there}.resblocks.{layer}"
            for kind in ("weight", "bias"):
                for part, other in _BLOCK.items():
                    renamed[f"{new}.{other}.{kind}"] = state[f"{old}.{part}.{kind}"].float()
                joined = [state[f"{old}.self_attn.{letter}_proj.{kind}"].float() for letter in "qkv"]
                renamed[f"{new}.attn.in_proj_{kind}"] = torch.cat(joined)
    return renamed


def to_transformers_names(state: Mapping[str, torch.Tensor], layers: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """Rename weights from open_clip to transformers, in float32; arguments as above.

    Raises:
        KeyError: A weight that every plain CLIP has is missing.
    """
    renamed = {here: state[there].float() for here, there in _OUTER.items()}
    renamed |= {here: state[there].float().T.contiguous() for here, there in _TRANSPOSED.items()}
    for (here, there), side in zip(_TOWERS.items(), SIDES, strict=True):
        for layer in range(layers[side]):
            old, new = f"{here}.{layer}", f"{there}.resblocks.{layer}"
            for kind in ("weight", "bias"):
                for part, other in _BLOCK.items():
                    renamed[f"{old}.{part}.{kind}"] = state[f"{new}.{other}.{kind}"].float()
                for letter, part_of in zip("qkv", state[f"{new}.attn.in_proj_{kind}"].chunk(3), strict=True):
                    renamed[f"{old}.self_attn.{letter}_proj.{kind}"] = part_of.float()
    return renamed
