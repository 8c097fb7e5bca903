"""Pairing two encoders, and loading a pair that was saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from clipbench.errors import ConfigError, ModelError
from clipbench.models import checks
from clipbench.models.hf_checks import check_vocabulary
from clipbench.models.hf_loading import load_processor, load_tokenizer
from clipbench.models.paired.model import WEIGHTS, PairedModel
from clipbench.models.paired.network import PairConfig, PairedEncoders, pool_images, pool_texts
from clipbench.models.paired.towers import Tower, gray_inputs, load_tower
from clipbench.models.spec import ModelSpec
from clipbench.models.text_cleaning import requested

ARGUMENTS = (
    "vision", "text", "vision_revision", "text_revision", "image_pooling", "text_pooling",
    "image_projection", "text_projection", "projection_dim", "seed", "text_cleaning",
)  # fmt: skip
"""Names of ``model_args`` that pairing takes."""
_DIM, _MOST = 512, 65_536


def load_pair(vision: str, text: str, request: ModelSpec) -> PairedModel:
    """Pair two encoders; their projections are drawn at random.

    Raises:
        ModelError: An encoder cannot be found, read or used; the message names it.
        ConfigError: An argument is invalid.
    """
    device, dtype = checks.resolve_device(request.device), checks.resolve_dtype(request.dtype)
    if request.revision:
        raise ConfigError(f"{request.id}: revision {request.revision}: give vision_revision or text_revision")
    # What a checkpoint lacks is drawn at random, too; a seed makes two loads the same model.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_whole(request, "seed", 0, 0, 2**63 - 1))
        image, words = (
            load_tower(side, source, request.text(f"{side}_pooling"), request)
            for side, source in (("image", vision), ("text", text))
        )
        config = _config(image, words, request)
        module = PairedEncoders(config, image.encoder, words.encoder)
        module.text_layers.load_state_dict(dict(words.modules.weights))
    checks.check_finite(request.id, module.state_dict())
    module.to(device, dtype)
    model = PairedModel(module, words.reader, image.reader, id=request.id, cleaning=requested(request))
    model.chosen = f"pooling: image={config.image_pooling}, text={config.text_pooling}"
    if image.remote or words.remote:
        model.untrainable = "the code of its encoders is not part of transformers, so that a checkpoint cannot hold it"
    return model


def load_saved(source: str, values: dict[str, Any], request: ModelSpec) -> PairedModel:
    """Load a pair that ``PairedModel.save`` wrote.

    Args:
        source: A directory, or a repository on the hub.
        values: The content of its ``config.json``.
        request: Device, precision, revision.

    Raises:
        ModelError: It cannot be found, read or used.
    """
    from safetensors.torch import load_model
    from transformers.utils.hub import cached_file

    device, dtype = checks.resolve_device(request.device), checks.resolve_dtype(request.dtype)
    file = cached_file(source, WEIGHTS, revision=request.revision)
    config = PairConfig.from_dict(values)
    module = PairedEncoders(config)
    missing, unexpected = load_model(module, str(file), strict=False)
    checks.check_keys(source, missing=missing, unexpected=unexpected)
    checks.check_finite(request.id, module.state_dict())
    tokenizer = load_tokenizer(source, request)
    check_vocabulary(source, tokenizer, getattr(config.text_config, "vocab_size", None))
    processor = load_processor(source, config.vision_config, request)
    return PairedModel(module.to(device, dtype), tokenizer, processor, id=request.id, cleaning=requested(request))


@torch.no_grad()
def _config(image: Tower, words: Tower, request: ModelSpec) -> PairConfig:
    end = words.reader.eos_token_id
    if "eos" in words.pooling.split("+") and end is None:
        raise ModelError("text encoder: its tokenizer has no end token: set its pooling to last")
    ids = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3, dtype=torch.int64)}
    with _naming("image"):
        image_width = pool_images(image.encoder.eval(), image.pooling, gray_inputs(image.reader)).shape[1]
    with _naming("text"):
        text_width = pool_texts(words.encoder.eval(), words.pooling, 7, ids).shape[1]
    return PairConfig(
        vision_config=image.encoder.config,
        text_config=words.encoder.config,
        vision_class=type(image.encoder).__name__,
        text_class=type(words.encoder).__name__,
        image_pooling=image.pooling,
        text_pooling=words.pooling,
        image_width=image_width,
        text_width=text_width,
        image_projection=request.text("image_projection") or "linear",
        text_projection=request.text("text_projection") or "linear",
        projection_dim=_whole(request, "projection_dim", _DIM, 1, _MOST),
        text_layers=words.modules.layers,
        text_end=end,
        text_lowercase=words.modules.lowercase,
        text_prompt=words.modules.prompt,
    )


@contextmanager
def _naming(side: str) -> Iterator[None]:
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{side} encoder: {error}") from error


def _whole(request: ModelSpec, name: str, default: int, least: int, most: int) -> int:
    value = request.text(name)
    try:
        number = default if value is None else int(value)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise ConfigError(f"{request.id}: {name}={value}: give a whole number from {least} to {most:,}")
    return number
