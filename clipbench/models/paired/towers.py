"""Loading one of two encoders: from its own checkpoint or out of a CLIP-like model, with its pooling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clipbench.errors import ClipbenchError, ConfigError, ModelError
from clipbench.models import checks, probes
from clipbench.models.hf_checks import check_size, check_vocabulary
from clipbench.models.hf_loading import check_json, check_weight_files, load_processor, load_tokenizer
from clipbench.models.load_errors import explain
from clipbench.models.paired.pooling import IMAGE_POOLINGS, TEXT_POOLINGS, pooled_output, prefix_tokens
from clipbench.models.paired.sentence_transformers import SentenceModules, read_modules
from clipbench.models.spec import ModelSpec, looks_like_path
from clipbench.utils.registry import close_matches

_PARTS = {
    "image": ("vision_model", "image_model", "visual", "vision_tower"),
    "text": ("text_model", "text_encoder"),
}
_CONFIGS = {"image": ("vision_config", "image_config"), "text": ("text_config",)}
_INPUTS = {"image": "pixel_values", "text": "input_ids"}
_FILES = {
    "image": "config.json, model.safetensors and preprocessor_config.json",
    "text": "config.json, model.safetensors and the tokenizer files",
}
_FIRST_TOKEN = ("align_text_model", "chinese_clip_text_model")  # pooled so in their models, whatever the encoder offers
_POOLERS = ("pooler.", "pooling.", "head.")


@dataclass(frozen=True)
class Tower:
    """One side of a pair.

    Attributes:
        encoder: A network of transformers.
        reader: Its image processor or its tokenizer.
        pooling: How its output is pooled.
        modules: What a sentence-transformers folder says.
        remote: Whether its code came with the checkpoint.
    """

    encoder: Any
    reader: Any
    pooling: str
    modules: SentenceModules = field(default_factory=SentenceModules)
    remote: bool = False


def load_tower(side: str, source: str, pooling: str | None, request: ModelSpec) -> Tower:
    """Load an encoder.

    Args:
        side: ``image`` or ``text``.
        source: A hub id or a directory.
        pooling: How its output is pooled; None for what the checkpoint says.
        request: Revision and whether code of the checkpoint may run.

    Raises:
        ModelError: It cannot be found, read or used; the message names the side.
        ConfigError: The pooling is unknown.
    """
    try:
        return _load(side, source, pooling, request)
    except ClipbenchError as error:
        raise type(error)(f"{side} encoder: {error}") from error
    except Exception as error:  # transformers, timm, the hub client, safetensors and pickle raise what they like
        raise ModelError(f"{side} encoder: {explain(error, source, files=_FILES[side])}") from error


def _load(side: str, source: str, pooling: str | None, request: ModelSpec) -> Tower:
    from transformers import AutoConfig

    _check_pooling(side, pooling)
    if not Path(source).exists() and looks_like_path(source):
        raise ModelError(f"no such directory: {source}")
    request = replace(request, revision=request.text("vision_revision" if side == "image" else "text_revision"))
    modules = (read_modules(source, request.revision) if side == "text" else None) or SentenceModules()
    options: dict[str, Any] = {"revision": request.revision, "trust_remote_code": request.trust_remote_code}
    if modules.subfolder:
        options["subfolder"] = modules.subfolder
    folder = str(Path(source) / modules.subfolder) if Path(source).is_dir() else source
    check_json(folder)
    check_weight_files(folder)
    config = AutoConfig.from_pretrained(source, **options)
    check_size(folder, config)
    encoder, missing = _encoder(side, source, config, options)
    _check_side(side, source, encoder)
    if side == "image":
        reader = load_processor(source, encoder.config, request)
        if hasattr(encoder.config, "mask_ratio"):
            encoder.config.mask_ratio = 0.0  # a masked autoencoder drops patches at random
    else:
        reader = _tokenizer(source, encoder, modules, request)
    poolers = [name for name in missing if name.startswith(_POOLERS)]
    checks.check_keys(source, missing=set(missing) - set(poolers), unexpected=())
    if poolers and (pooling or modules.pooling) == "pooler":
        raise ModelError(f"{source}: the checkpoint has no weights of the pooler: set its pooling to mean or cls")
    found = pooling or modules.pooling or _default(side, encoder, reader, untrained=bool(poolers))
    if pooling is not None and modules.pooling is not None and pooling != modules.pooling:
        modules = replace(modules, layers=(), weights={})  # they were trained on another vector
    return Tower(encoder, reader, found, modules, remote=not type(encoder).__module__.startswith("transformers."))


def _tokenizer(source: str, encoder: Any, modules: SentenceModules, request: ModelSpec) -> Any:
    tokenizer = load_tokenizer(source, request, subfolder=modules.subfolder)
    check_vocabulary(source, tokenizer, getattr(encoder.config, "vocab_size", None))
    if modules.max_length is not None:
        tokenizer.model_max_length = min(tokenizer.model_max_length, int(modules.max_length))
    return tokenizer


def _check_pooling(side: str, pooling: str | None) -> None:
    known = IMAGE_POOLINGS if side == "image" else TEXT_POOLINGS
    for name in () if pooling is None else (pooling,) if side == "image" else pooling.split("+"):
        if name not in known or (name == "pooler" != pooling):
            raise ConfigError(f"pooling {pooling!r}{close_matches(name, known)}: give {', '.join(known)}")


def _encoder(side: str, source: str, config: Any, options: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """An encoder and the names of its weights that the checkpoint lacks."""
    from transformers import AutoModel, AutoModelForTextEncoding
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING

    text_only = side == "text" and type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING
    kind: Any = AutoModelForTextEncoding if text_only else AutoModel
    network, found = kind.from_pretrained(
        source,
        **options,
        config=config,
        dtype=torch.float32,
        weights_only=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    shapes = [f"{name}: {tuple(has)} for {tuple(wants)}" for name, has, wants in found["mismatched_keys"]]
    checks.check_keys(source, missing=(), unexpected=(), shapes=shapes)
    encoder, prefix = network, ""
    if any(getattr(config, name, None) is not None for name in _CONFIGS[side]):
        name = next((name for name in _PARTS[side] if isinstance(getattr(network, name, None), nn.Module)), None)
        if name is None:
            raise ModelError(f"{source} is a {config.model_type} model without an {side} encoder of its own")
        encoder, prefix = getattr(network, name), f"{name}."
    elif getattr(config, "is_encoder_decoder", False) and not text_only:
        encoder, prefix = network.get_encoder(), "encoder."
    missing = [name.removeprefix(prefix) for name in found["missing_keys"] if str(name).startswith(prefix)]
    return encoder, [name for name in missing if not name.endswith(("position_ids", "num_batches_tracked"))]


def _check_side(side: str, source: str, encoder: Any) -> None:
    reads = getattr(encoder, "main_input_name", _INPUTS[side])
    if reads != _INPUTS[side]:
        what = {"image": "encodes no images", "text": "encodes no texts"}[side]
        raise ModelError(f"{source} is a {encoder.config.model_type} model, which {what} (it reads {reads})")


def _default(side: str, encoder: Any, reader: Any, *, untrained: bool) -> str:
    """The pooling of the model that the encoder is of, else its pooled output, the class token, or the mean.

    Of a decoder, it is the last token, the only one that sees the whole text.
    """
    if encoder.config.model_type in _FIRST_TOKEN:
        return "cls"
    output = try_images(encoder, reader) if side == "image" else _try_text(encoder)
    if not untrained and pooled_output(output) is not None:
        return "pooler"
    if side == "image":
        return "cls" if prefix_tokens(encoder) else "mean"
    if not _looks_right(encoder):
        return "last"
    return "cls" if getattr(encoder, "pooler", None) is not None else "mean"


@torch.no_grad()
def try_images(encoder: Any, processor: Any) -> Any:
    """An image encoder's output for a gray image."""
    return encoder.eval()(**gray_inputs(processor), return_dict=True)


def gray_inputs(processor: Any) -> dict[str, torch.Tensor]:
    """A gray image as an image encoder's inputs."""
    inputs = processor(images=probes.gray_image(), return_tensors="pt")
    return {name: inputs[name] for name in ("pixel_values", "pixel_attention_mask", "spatial_shapes") if name in inputs}


@torch.no_grad()
def _try_text(encoder: Any, tokens: tuple[int, ...] = (5, 6, 7, 8)) -> Any:
    ids = torch.tensor([tokens])
    return encoder.eval()(input_ids=ids, attention_mask=torch.ones_like(ids), return_dict=True)


def _looks_right(encoder: Any) -> bool:
    """Whether a token sees what comes after it."""
    one, two = (_try_text(encoder, tokens).last_hidden_state[:, 0] for tokens in ((5, 6, 7, 8), (5, 6, 7, 9)))
    return not torch.equal(one, two)
