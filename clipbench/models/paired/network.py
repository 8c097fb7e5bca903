"""The network of two paired encoders, and the configuration that rebuilds it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from clipbench.errors import ModelError
from clipbench.models.paired.pooling import channels_of, pool_image, pool_text, pooled_output, prefix_tokens
from clipbench.models.paired.projections import make_layers, make_projection
from clipbench.models.spec import PAIRED_ENCODERS

_LOGIT_SCALE = math.log(1 / 0.07)


@dataclass(frozen=True)
class PairConfig:
    """How two encoders are put together.

    Attributes:
        vision_config, text_config: The encoders' configurations, of transformers.
        vision_class, text_class: The encoders' classes in transformers.
        image_pooling, text_pooling: How their outputs are pooled, see ``clipbench.models.paired.pooling``.
        image_width, text_width: Dimensions of the pooled outputs.
        image_projection, text_projection: Kinds of projections, see ``clipbench.models.paired.projections``.
        projection_dim: Dimensions of the shared space.
        text_layers: Layers between the text encoder's pooling and its projection, of sentence-transformers.
        text_end: The token whose place ``eos`` pools at.
        text_lowercase: Whether texts are lower-cased before they are tokenized.
        text_prompt: What is put before each text.
        centered: Whether a fixed mean is subtracted from pooled images.
        logit_bias: Of a model that was trained with the sigmoid loss.
    """

    vision_config: Any
    text_config: Any
    vision_class: str
    text_class: str
    image_pooling: str
    text_pooling: str
    image_width: int
    text_width: int
    image_projection: str = "linear"
    text_projection: str = "linear"
    projection_dim: int = 512
    text_layers: tuple[Mapping[str, Any], ...] = ()
    text_end: int | None = None
    text_lowercase: bool = False
    text_prompt: str = ""
    centered: bool = False
    logit_bias: float | None = None
    model_type: str = PAIRED_ENCODERS

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PairConfig:
        """Read what ``to_dict`` gives.

        Raises:
            ModelError: Something is missing or of the wrong kind.
        """
        try:
            known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
            towers = {name: _read_config(known[name]) for name in ("vision_config", "text_config")}
            return cls(**{**known, **towers, "text_layers": tuple(known.get("text_layers", ()))})
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"the configuration of paired encoders is damaged: {error}") from None

    def get_text_config(self) -> Any:
        """The text encoder's configuration."""
        return self.text_config

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        towers = {name: getattr(self, name).to_dict() for name in ("vision_config", "text_config")}
        return {**asdict(replace(self, vision_config=None, text_config=None)), **towers}


class PairedEncoders(nn.Module):
    """An image encoder and a text encoder, each with pooling and a projection; named as in VisionTextDualEncoder.

    Args:
        config: How they are put together.
        vision_model: The image encoder; built from the configuration if None.
        text_model: The text encoder, likewise.

    Raises:
        ModelError: The configuration does not describe encoders of transformers.
        ConfigError: A projection does not fit.
    """

    visual_mean: Tensor | None

    def __init__(
        self, config: PairConfig, vision_model: nn.Module | None = None, text_model: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.vision_model = vision_model or build_encoder(config.vision_config, config.vision_class)
        self.text_model = text_model or build_encoder(config.text_config, config.text_class)
        drop_pooler(self.vision_model, config.image_pooling)
        drop_pooler(self.text_model, config.text_pooling)
        self.text_layers = make_layers(config.text_layers)
        text_width = _width_after(config)
        self.visual_projection = make_projection(config.image_projection, config.image_width, config.projection_dim)
        self.text_projection = make_projection(config.text_projection, text_width, config.projection_dim)
        self.logit_scale = nn.Parameter(torch.tensor(_LOGIT_SCALE))
        self.register_buffer("visual_mean", torch.zeros(config.image_width) if config.centered else None)

    def get_image_features(self, **inputs: Tensor) -> Tensor:
        """Features ``(B, projection_dim)`` of the image encoder's inputs."""
        return self.project_images(self.pool_images(**inputs))

    def get_text_features(self, **inputs: Tensor) -> Tensor:
        """Features ``(B, projection_dim)`` of the text encoder's inputs."""
        pooled = pool_texts(self.text_model, self.config.text_pooling, self.config.text_end, inputs)
        features: Tensor = self.text_projection(self.text_layers(pooled))
        return features

    def pool_images(self, **inputs: Tensor) -> Tensor:
        """The image encoder's pooled output, ``(B, image_width)``."""
        return pool_images(self.vision_model, self.config.image_pooling, inputs)

    def project_images(self, pooled: Tensor) -> Tensor:
        """Features ``(B, projection_dim)`` of pooled images, centered before if the configuration says so."""
        features: Tensor = self.visual_projection(pooled if self.visual_mean is None else pooled - self.visual_mean)
        return features

    def center_images(self, mean: Tensor) -> None:
        """Subtract a fixed mean ``(image_width,)`` from pooled images from now on, in place of an earlier one."""
        self.config = replace(self.config, centered=True)
        self.register_buffer("visual_mean", mean.detach().to(self.logit_scale))


def pool_images(encoder: nn.Module, pooling: str, inputs: Mapping[str, Tensor]) -> Tensor:
    """An image encoder's pooled output ``(B, D)``.

    Raises:
        ModelError: It has no such output.
    """
    output = encoder(**inputs, **_order_of_patches(encoder, inputs), return_dict=True)
    mask = inputs.get("pixel_attention_mask")
    return pool_image(output, pooling, prefix=prefix_tokens(encoder), channels=channels_of(encoder), mask=mask)


def _order_of_patches(encoder: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For a masked autoencoder, which shuffles patches by random numbers even if it masks none: their own order."""
    config: Any = encoder.config
    if config.model_type != "vit_mae":
        return {}
    pixels = inputs["pixel_values"]
    patches = pixels[0, 0].numel() // config.patch_size**2
    return {"noise": torch.arange(patches, device=pixels.device).expand(len(pixels), -1)}


def pool_texts(encoder: nn.Module, pooling: str, end: int | None, inputs: Mapping[str, Tensor]) -> Tensor:
    """A text encoder's pooled output ``(B, D)``.

    Raises:
        ModelError: It has no such output.
    """
    output = encoder(**inputs, return_dict=True)
    if pooling == "pooler":
        pooled = pooled_output(output)
        if pooled is None:
            raise ModelError("it has no pooled output: set its pooling to mean, cls, last or eos")
        return pooled
    ids = inputs["input_ids"]
    mask = inputs.get("attention_mask", torch.ones_like(ids))
    return pool_text(output.last_hidden_state, mask, ids, pooling, end)


class Unused(nn.Module):
    """Takes the place of a pooler that is not read and whose weights may be random."""

    def forward(self, states: Tensor, *_: Any, **__: Any) -> Tensor:
        return states


def drop_pooler(encoder: nn.Module, pooling: str) -> None:
    """Take an encoder's trained pooler out if its output is not read."""
    pooler = getattr(encoder, "pooler", None)
    if pooling != "pooler" and isinstance(pooler, nn.Module) and any(True for _ in pooler.parameters()):
        encoder.pooler = Unused()


def build_encoder(config: Any, class_name: str) -> nn.Module:
    """An encoder of transformers with random weights.

    Raises:
        ModelError: transformers has no such class beside this configuration.
    """
    place = type(config).__module__.replace("configuration_", "modeling_")
    kind = getattr(importlib.import_module(place), class_name, None)
    if not place.startswith("transformers.models.") or not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ModelError(f"transformers has no encoder {class_name} for a {config.model_type} configuration")
    encoder: nn.Module = kind(config)
    return encoder


def _width_after(config: PairConfig) -> int:
    """The width of a text after the layers that follow its pooling."""
    widths = [layer["out_features"] for layer in config.text_layers if "out_features" in layer]
    return int(widths[-1]) if widths else config.text_width


def _read_config(values: Any) -> Any:
    from transformers import CONFIG_MAPPING

    known: Any = CONFIG_MAPPING
    kind = values["model_type"]
    if kind not in known:
        raise ModelError(f"transformers knows no model type {kind!r}")
    return known[kind].from_dict(values)
