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
from clipbench.models import probes
from clipbench.models.base import Model
from clipbench.models.checks import largest_difference
from clipbench.models.convert_names import SIDES, to_open_clip_names, to_transformers_names

_END = 49407


def to_open_clip(model: Model, directory: Path) -> None:
    """Write a transformers CLIP as an open_clip checkpoint.

    Raises:
        ModelError: The model is no CLIP that open_clip can build, or the directory cannot be written.
    """
    from open_clip.tokenizer import SimpleTokenizer

    from clipbench.models.open_clip.adapter import OpenClipModel

    network, processor = model.module, getattr(model, "image_processor", None)
    config: Any = getattr(network, "config", None)
    if config is None or config.model_type != "clip":
        raise ModelError(f"{model.id}: only a CLIP of transformers can be written in open_clip's format")
    settings = _open_clip_config(config, model.id)
    if config.text_config.vocab_size != len(SimpleTokenizer().encoder):
        raise ModelError(f"{model.id}: it has a vocabulary of its own, and open_clip reads OpenAI's 49,408 tokens")
    state = to_open_clip_names(network.state_dict(), {side: getattr(config, side).num_hidden_layers for side in SIDES})
    if "logit_bias" in network.state_dict():
        state["logit_bias"] = network.state_dict()["logit_bias"].float()
        settings["init_logit_bias"] = float(state["logit_bias"])
    exported = _build_open_clip(settings, state, processor)
    tokenizer = SimpleTokenizer(context_length=settings["text_cfg"]["context_length"])
    converted = OpenClipModel(exported, tokenizer, settings, id=model.id, architecture="CLIP", dtype=torch.float32)
    _check_equal(model, converted)
    converted.save(directory)


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
    from open_clip.transformer import VisionTransformer
    from transformers import CLIPModel

    from clipbench.models.hf import TransformersModel

    network: Any = model.module
    settings: Any = getattr(model, "config", None)
    plain = settings is not None and type(network) is open_clip.CLIP
    if not plain or not isinstance(network.visual, VisionTransformer):
        raise ModelError(f"{model.id}: only a plain CLIP of open_clip can be written in transformers' format")
    config = _transformers_config(network, settings)
    exported: Any = CLIPModel(config)
    layers = {side: getattr(config, side).num_hidden_layers for side in SIDES}
    state = to_transformers_names(network.state_dict(), layers)
    wanted = exported.state_dict()
    _check_names(model.id, known=to_open_clip_names(wanted, layers), given=network.state_dict())
    exported.load_state_dict({**wanted, **state})  # wanted: position_ids, which are no weights
    tokenizer, processor = clip_tokenizer(network.context_length), image_processor(network.visual.preprocess_cfg)
    converted = TransformersModel(exported, tokenizer, processor, id=model.id)
    _check_equal(model, converted)
    converted.save(directory)


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


def _check_names(name: str, *, known: Mapping[str, object], given: Mapping[str, object]) -> None:
    extra = sorted(set(given) - set(known))
    if extra:
        raise ModelError(
            f"{name}: a CLIP of transformers has no place for {len(extra)} of its weights, the first is {extra[0]}"
        )


@torch.no_grad()
def _check_equal(one: Model, other: Model) -> None:
    """Compare features of texts and of an image through both libraries' whole paths.

    Raises:
        ModelError: They differ: the model has something that this conversion does not know.
    """
    if one.dtype != torch.float32:
        raise ModelError(f"{one.id}: load it in float32 to convert it, not in {one.dtype}")
    image = probes.noise_image(186, 62)  # three squares, of which both libraries' crops take the same one
    differences = {
        "text": largest_difference(*(m.text_features(m.tokenize(probes.TEXTS)).cpu() for m in (one, other))),
        "image": largest_difference(*(m.image_features(m.preprocess(image)[None]).cpu() for m in (one, other))),
    }
    for name, difference in differences.items():
        if difference > 1e-5:
            raise ModelError(f"{one.id}: its {name} features change by {difference:.1g} when converted: not supported")


def image_processor(preprocess: Mapping[str, Any]) -> Any:
    """Transformers' PIL image processor for open_clip's preprocessing settings."""
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
    """Transformers' CLIP tokenizer with OpenAI's 49,408 tokens, from the vocabulary that open_clip ships."""
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    simple = SimpleTokenizer()
    special = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocab = {special.get(token, token): number for token, number in simple.encoder.items()}
    return CLIPTokenizer(vocab=vocab, merges=list(simple.bpe_ranks), model_max_length=context_length)


def to_other_format(model: Model, directory: Path) -> Path:
    """Write a CLIP of one library in the other's format, into a folder of that library's name.

    Returns:
        ``directory/open_clip`` or ``directory/transformers``.

    Raises:
        ModelError: The model has no counterpart there, or the folder cannot be written.
    """
    write = to_open_clip if model.info.library == "transformers" else to_transformers
    place = directory / ("open_clip" if write is to_open_clip else "transformers")
    with torch.no_grad():
        write(model, place)
    return place
