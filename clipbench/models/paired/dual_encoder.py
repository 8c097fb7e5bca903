"""Pairs that transformers' VisionTextDualEncoder can hold, so that transformers reads them without clipbench."""

from __future__ import annotations

from typing import Any

from clipbench.models.paired.network import PairedEncoders


def dual_encoder_config(module: PairedEncoders) -> dict[str, Any] | None:
    """The configuration of the VisionTextDualEncoder that has a pair's features and names of weights; None if none has.

    It takes each encoder's own pooled output, and projects it by a matrix.
    """
    from transformers import VisionTextDualEncoderConfig

    config = module.config
    plain = (
        config.image_pooling == config.text_pooling == "pooler"
        and config.image_projection == config.text_projection == "linear"
        and not (config.text_layers or config.text_lowercase or config.text_prompt or config.centered)
        and _rebuilt(module.vision_model, config.image_width)
        and _rebuilt(module.text_model, config.text_width)
    )
    if not plain:
        return None
    whole = VisionTextDualEncoderConfig.from_vision_text_configs(
        config.vision_config, config.text_config, projection_dim=config.projection_dim
    )
    return {**whole.to_dict(), "architectures": ["VisionTextDualEncoderModel"]}


def _rebuilt(encoder: Any, width: int) -> bool:
    """Whether transformers' AutoModel makes this encoder of its configuration, with pooled vectors of its width."""
    from transformers import MODEL_MAPPING, CLIPVisionConfig, CLIPVisionModel

    known: Any = MODEL_MAPPING
    kind = CLIPVisionModel if isinstance(encoder.config, CLIPVisionConfig) else known.get(type(encoder.config), None)
    return (
        type(encoder) is kind
        and getattr(encoder.config, "hidden_size", None) == width
        and encoder.config.model_type not in _OTHERS
    )


_OTHERS = ("resnet", "regnet", "bit", "siglip2_vision_model")  # pooled to (B, D, 1, 1), or reads more than pixels
