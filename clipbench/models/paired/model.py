"""Two paired encoders as a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from clipbench.errors import ModelError
from clipbench.models.base import ModelInfo, PackedText, Tokens
from clipbench.models.hf import TransformersModel
from clipbench.models.network import NetworkModel
from clipbench.models.paired.dual_encoder import dual_encoder_config
from clipbench.models.paired.network import PairedEncoders
from clipbench.models.spec import TRAINED, TRANSFORMERS_CONFIG

WEIGHTS = "model.safetensors"


class PairedModel(TransformersModel):
    """An image encoder and a text encoder of transformers, with pooling and projections.

    Args:
        module: The pair.
        tokenizer: The text encoder's; texts are padded on the right.
        image_processor: The image encoder's PIL image processor.
        id: The model as the user named it.
        cleaning: ``trained`` or ``native``, see ``clipbench.models.text_cleaning``.

    Raises:
        ModelError: Texts do not end with the token that they are pooled at.
    """

    _module: PairedEncoders

    def __init__(
        self, module: PairedEncoders, tokenizer: Any, image_processor: Any, *, id: str, cleaning: str = TRAINED
    ) -> None:
        tokenizer.padding_side = tokenizer.truncation_side = "right"  # a text's place does not depend on its batch
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token  # masked, so that any token would do
        self._prepared = module.config
        super().__init__(module, tokenizer, image_processor, id=id, cleaning=cleaning)

    @property
    def info(self) -> ModelInfo:
        config = self._module.config
        image, text = (
            f"{config.vision_class} ({config.image_pooling})",
            f"{config.text_class} ({config.text_pooling})",
        )
        return replace(super().info, architecture=f"{image} + {text}")

    def image_tower_features(self, pixels: Tensor) -> Tensor:
        return self._module.pool_images(pixel_values=pixels.to(self.device, self.dtype))

    def project_images(self, features: Tensor) -> Tensor:
        return self._module.project_images(features.to(self.device, self.dtype))

    def add_logit_bias(self, value: float) -> None:
        NetworkModel.add_logit_bias(self, value)
        self._module.config = replace(self._module.config, logit_bias=value)

    def center_images(self, mean: Tensor) -> None:
        self._module.center_images(mean)

    def _tokenize(self, texts: Any, *, trim: bool) -> Tokens:
        config = self._prepared
        texts = [config.text_prompt + text for text in texts]
        tokens = super()._tokenize([text.lower() for text in texts] if config.text_lowercase else texts, trim=trim)
        if "eos" in config.text_pooling.split("+") and config.text_end is not None:
            ends = tokens.inputs["input_ids"].eq(config.text_end).any(1)
            if not bool(ends.all()):
                raise ModelError(
                    f"{self.id}: text encoder: its tokenizer puts no end token after texts: pool the last token"
                )
        return tokens

    def _packed_text(self) -> PackedText | None:
        return super()._packed_text() if self._prepared.text_pooling == "pooler" else None

    def _write(self, directory: Path) -> None:
        from safetensors.torch import save_model

        whole = dual_encoder_config(self._module)
        config = whole if whole is not None else self._module.config.to_dict()
        # A bias is kept in the configuration, as of other models: transformers' dual encoder has no such weight.
        bias = self._module._parameters.pop("logit_bias", None)
        if bias is not None:
            config["logit_bias"] = float(bias)
        (directory / TRANSFORMERS_CONFIG).write_text(json.dumps(config, indent=2, default=str) + "\n", encoding="utf-8")
        try:
            save_model(self._module, str(directory / WEIGHTS), metadata={"format": "pt"})
        finally:
            if bias is not None:
                self._module.logit_bias = bias
        self.tokenizer.save_pretrained(directory)
        self.image_processor.save_pretrained(directory)  # of timm: nothing, for it is in the encoder's configuration
