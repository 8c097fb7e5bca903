"""One CLIP in both libraries' formats: the same weights, the same activation, equal logits.

Works for CLIPs with a vision transformer and OpenAI's vocabulary, such as all of OpenAI's and what is
fine-tuned from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from clipbench.errors import ModelError
from clipbench.models import load_model
from clipbench.models.model import Model

_END = 49407
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


def to_open_clip(model: Model, directory: Path) -> None:
    """Write a transformers CLIP as an open_clip checkpoint.

    Raises:
        ModelError: The model is no CLIP that open_clip can build, or the directory cannot be written.
    """
    from clipbench.models.openclip import OpenClipModel

    network, processor = model.module, getattr(model, "_processor", None)
    config: Any = getattr(network, "config", None)
    if config is None or config.model_type != "clip":
        raise ModelError(f"{model.id}: only a CLIP of transformers can be written in open_clip's format")
    settings = _open_clip_config(config, model.id)
    state = _rename(network.state_dict(), {side: getattr(config, side).num_hidden_layers for side in _SIDES})
    exported = _build_open_clip(settings, state, processor)
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer(context_length=settings["text_cfg"]["context_length"])
    OpenClipModel(
        exported, tokenizer, settings, id=model.id, architecture="CLIP", dtype=torch.float32
    ).save(directory)


_SIDES = ("text_config", "vision_config")


def _open_clip_config(config: Any, name: str) -> dict[str, Any]:
    text, vision = config.text_config, config.vision_config
    if text.hidden_act != vision.hidden_act or text.hidden_act not in ("quick_gelu", "gelu"):
        raise ModelError(f"{name}: open_clip has no activation {text.hidden_act!r} / {vision.hidden_act!r}")
    return {
        "embed_dim": config.projection_dim,
        "quick_gelu": text.hidden_act == "quick_gelu",
        "vision_cfg": {
            "image_size": vision.image_size,
            "layers": vision.num_hidden_layers,
            "width": vision.hidden_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            "mlp_ratio": vision.intermediate_size / vision.hidden_size,
            "patch_size": vision.patch_size,
        },
        "text_cfg": {
            "context_length": text.max_position_embeddings,
            "vocab_size": text.vocab_size,
            "width": text.hidden_size,
            "heads": text.num_attention_heads,
            "layers": text.num_hidden_layers,
            "mlp_ratio": text.intermediate_size / text.hidden_size,
        },
    }


def _rename(state: Mapping[str, torch.Tensor], layers: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """transformers' names to open_clip's."""
    renamed = {there: state[here].float() for here, there in _OUTER.items()}
    renamed |= {there: state[here].float().T.contiguous() for here, there in _TRANSPOSED.items()}
    for (here, there), side in zip(_TOWERS.items(), _SIDES, strict=True):
        for layer in range(layers[side]):
            old, new = f"{here}.{layer}", f"{there}.resblocks.{layer}"
            for kind in ("weight", "bias"):
                for part, other in _BLOCK.items():
                    renamed[f"{new}.{other}.{kind}"] = state[f"{old}.{part}.{kind}"].float()
                joined = [state[f"{old}.self_attn.{letter}_proj.{kind}"].float() for letter in "qkv"]
                renamed[f"{new}.attn.in_proj_{kind}"] = torch.cat(joined)
    return renamed


def _build_open_clip(settings: dict[str, Any], state: Mapping[str, torch.Tensor], processor: Any) -> Any:
    import copy

    import open_clip

    module = open_clip.CLIP(**copy.deepcopy(settings))
    module.load_state_dict(state)
    preprocess = {
        "size": module.visual.image_size,
        "mean": tuple(processor.image_mean),
        "std": tuple(processor.image_std),
        "interpolation": {2: "bilinear", 3: "bicubic"}[int(processor.resample)],
        "resize_mode": "shortest",
    }
    open_clip.set_model_preprocess_cfg(module, preprocess)
    return module


def to_transformers(model: Model, directory: Path) -> None:
    """Write an open_clip CLIP (vision transformer, OpenAI's vocabulary) as a transformers checkpoint.

    Raises:
        ModelError: The model has no counterpart in transformers, or the directory cannot be written.
    """
    import open_clip
    from transformers import CLIPModel

    from clipbench.models.hf import TransformersModel

    network: Any = model.module
    settings = getattr(model, "_config", None)
    if settings is None or type(network) is not open_clip.CLIP or not hasattr(network.visual, "conv1"):
        raise ModelError(f"{model.id}: only a plain CLIP of open_clip can be written in transformers' format")
    config = _transformers_config(network, settings)
    exported = CLIPModel(config)
    layers = {side: getattr(config, side).num_hidden_layers for side in _SIDES}
    exported.load_state_dict(_unrename(network.state_dict(), layers, exported.state_dict()))
    processor = _processor(network.visual.preprocess_cfg)
    TransformersModel(exported, clip_tokenizer(), processor, id=model.id).save(directory)


def _transformers_config(network: Any, settings: Mapping[str, Any]) -> Any:
    from transformers import CLIPConfig

    act = "quick_gelu" if settings.get("quick_gelu") else "gelu"
    visual, text = network.visual, network.transformer

    def tower(transformer: Any) -> dict[str, Any]:
        block = transformer.resblocks[0]
        return {
            "hidden_act": act,
            "hidden_size": transformer.width,
            "intermediate_size": block.mlp.c_fc.out_features,
            "num_hidden_layers": len(transformer.resblocks),
            "num_attention_heads": block.attn.num_heads,
        }

    numbers = {"max_position_embeddings": network.context_length, "vocab_size": network.vocab_size}
    ends = {"bos_token_id": _END - 1, "eos_token_id": _END, "pad_token_id": _END}
    sizes = {"image_size": visual.image_size[0], "patch_size": visual.patch_size[0]}
    return CLIPConfig(
        text_config={**tower(text), **numbers, **ends},
        vision_config={**tower(visual.transformer), **sizes},
        projection_dim=int(settings["embed_dim"]),
    )


def _unrename(
    state: Mapping[str, torch.Tensor], layers: Mapping[str, int], wanted: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """open_clip's names to transformers'."""
    renamed = {here: state[there].float() for here, there in _OUTER.items()}
    renamed |= {here: state[there].float().T.contiguous() for here, there in _TRANSPOSED.items()}
    for (here, there), side in zip(_TOWERS.items(), _SIDES, strict=True):
        for layer in range(layers[side]):
            old, new = f"{here}.{layer}", f"{there}.resblocks.{layer}"
            for kind in ("weight", "bias"):
                for part, other in _BLOCK.items():
                    renamed[f"{old}.{part}.{kind}"] = state[f"{new}.{other}.{kind}"].float()
                for letter, part_of in zip("qkv", state[f"{new}.attn.in_proj_{kind}"].chunk(3), strict=True):
                    renamed[f"{old}.self_attn.{letter}_proj.{kind}"] = part_of.float()
    # position_ids and the like are no weights, but a strict load wants them
    return {**{name: value for name, value in wanted.items() if name.endswith("position_ids")}, **renamed}


def _processor(preprocess: Mapping[str, Any]) -> Any:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    size = preprocess["size"]
    side = int(size if isinstance(size, int) else size[0])
    return CLIPImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=list(preprocess["mean"]),
        image_std=list(preprocess["std"]),
        resample={"bilinear": 2, "bicubic": 3}[preprocess["interpolation"]],
    )


def clip_tokenizer(context_length: int = 77) -> Any:
    """transformers' CLIP tokenizer with OpenAI's 49,408 tokens, from the vocabulary that open_clip ships."""
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    simple = SimpleTokenizer()
    special = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocab = {special.get(token, token): number for token, number in simple.encoder.items()}
    return CLIPTokenizer(vocab=vocab, merges=list(simple.bpe_ranks), model_max_length=context_length)


def convert(source: str, directory: Path) -> None:
    """Write a CLIP in the other library's format.

    Raises:
        ModelError: It cannot be loaded, converted or written.
    """
    from clipbench.models.hf import TransformersModel

    model = load_model(source, device="cpu")
    (to_open_clip if isinstance(model, TransformersModel) else to_transformers)(model, directory)
