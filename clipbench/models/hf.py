"""Every transformers model that has text features and image features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from clipbench.errors import ModelError
from clipbench.models import checks, last_block, packing, text_cleaning
from clipbench.models.base import ModelInfo, PackedRow, PackedText, Tokens
from clipbench.models.fingerprint import tokenizer_settings
from clipbench.models.network import NetworkModel, input_of
from clipbench.models.plain_text import plain_tokenizer
from clipbench.models.spec import TRAINED
from clipbench.models.text_cleaning import has_clip_vocabulary

# RoBERTa counts positions from its padding index + 1, so that many of its positions cannot be used.
_OFFSET_POSITIONS = (
    "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod", "camembert", "data2vec-text", "ibert",
    "longformer", "mpnet", "altclip_text_model",
)  # fmt: skip
# Towers that look left only, are pooled at the end token, and take masks and positions as they are given.
_PACKING = ("clip_text_model", "metaclip_2_text_model")
_BIAS = "logit_bias"  # of a model whose architecture has none: in the configuration, so that every version loads it
VOLATILE = (_BIAS, "_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "_commit_hash")


class TransformersModel(NetworkModel):
    """CLIP, MetaCLIP, SigLIP, ALIGN, AltCLIP, Chinese-CLIP, VisionTextDualEncoder and their like.

    Args:
        module: A loaded model with ``get_text_features`` and ``get_image_features``.
        tokenizer: Its tokenizer.
        image_processor: Its PIL image processor.
        id: The model as the user named it.
        cleaning: ``trained`` or ``native``, see ``clipbench.models.text_cleaning``.

    Raises:
        ModelError: Features of the two sides do not live in one space.
    """

    def __init__(self, module: Any, tokenizer: Any, image_processor: Any, *, id: str, cleaning: str = TRAINED) -> None:
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        text_config = module.config.get_text_config()
        # SigLIP's texts were padded to the full length in training, without a mask: padding is part of the input.
        self._full_length = _is_siglip(module, text_config, tokenizer)
        self._text_cleaning, self._reader = cleaning, tokenizer
        if cleaning == TRAINED:
            siglip = self._full_length
            self._text_cleaning = text_cleaning.cleaning_of_transformers(text_config, tokenizer, siglip=siglip)
            self._reader = plain_tokenizer(tokenizer)
        self._clean = text_cleaning.CLEANINGS.get(self._text_cleaning, str)
        _pool_at_the_end(module, tokenizer)
        self._packs_patches = "spatial_shapes" in image_processor.model_input_names  # SigLIP 2 NaFlex
        context_length = context_length_of(text_config, tokenizer)
        super().__init__(module, id=id, dtype=next(module.parameters()).dtype, context_length=context_length)
        if isinstance(bias := getattr(module.config, _BIAS, None), float):
            super().add_logit_bias(bias)

    @property
    def info(self) -> ModelInfo:
        import transformers

        config = self._module.config
        return ModelInfo(
            library="transformers",
            library_version=transformers.__version__,
            architecture=type(self._module).__name__,
            parameters=sum(parameter.numel() for parameter in self._module.parameters()),
            revision=getattr(config, "_commit_hash", None),
            precision=checks.dtype_name(self.dtype),
            preprocessor=type(self.image_processor).__name__,
            activation=_activations(config),
            context_length=self.context_length,
            feature_dim=self.feature_dim,
            text_cleaning=self._text_cleaning,
            text_batching=self.text_batching,
            compiled=self.compiled,
        )

    @property
    def logit_scale(self) -> torch.Tensor:
        if hasattr(self._module, "logit_scale"):
            scale: torch.Tensor = self._module.logit_scale.exp()
        elif hasattr(self._module, "temperature"):  # ALIGN divides by a temperature, which it learns as it is
            scale = 1.0 / self._module.temperature
        else:
            scale = torch.ones((), device=self.device)
        return scale.reshape(())

    @property
    def towers(self) -> Sequence[torch.nn.Module]:
        towers = [getattr(self._module, name, None) for name in ("vision_model", "text_model")]
        return [tower for tower in towers if tower is not None] if None not in towers else ()

    def add_logit_bias(self, value: float) -> None:
        super().add_logit_bias(value)
        self._module.config.logit_bias = value

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """As in ``Model``; for NaFlex ``(patches + 1, values)``, the last row holding the grid's shape."""
        inputs = self.image_processor(images=image, return_tensors="pt")
        pixels: torch.Tensor = inputs["pixel_values"][0].to(torch.float32)
        if not self._packs_patches:
            return pixels
        row = torch.zeros(1, pixels.shape[1])
        row[0, :2] = inputs["spatial_shapes"][0]
        return torch.cat([pixels, row])

    def resized(self, image: Image.Image) -> NDArray[np.uint8] | None:
        if self._packs_patches:
            return None
        pixels = self.image_processor(images=image, return_tensors="np", do_rescale=False, do_normalize=False)
        return np.asarray(pixels["pixel_values"][0])

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.to(self.device, non_blocking=True)
        if self._packs_patches:
            return _features(self._module.get_image_features(**_unpack(pixels, self.dtype)), "image_embeds")
        if self._reads_class_token and not last_block.called_whole(self._module.vision_model):
            return cast(torch.Tensor, self._module.visual_projection(self._class_states(pixels.to(self.dtype))))
        return _features(self._module.get_image_features(pixel_values=pixels.to(self.dtype)), "image_embeds")

    def image_tower_features(self, pixels: torch.Tensor) -> torch.Tensor:
        head = getattr(self._module, "visual_projection", None)
        return self.image_features(pixels) if head is None else input_of(head, lambda: self.image_features(pixels))

    def project_images(self, features: torch.Tensor) -> torch.Tensor:
        head = getattr(self._module, "visual_projection", None)
        return features if head is None else cast(torch.Tensor, head(features.to(self.device, self.dtype)))

    def text_features(self, tokens: Tokens) -> torch.Tensor:
        inputs = {name: tensor.to(self.device, non_blocking=True) for name, tensor in tokens.inputs.items()}
        return _features(self._module.get_text_features(**inputs), "text_embeds")

    def _class_states(self, pixels: torch.Tensor) -> torch.Tensor:
        tower = self._module.vision_model
        states = tower.pre_layrnorm(tower.embeddings(pixels))  # spelled so
        read = last_block.class_tokens(len(pixels), pixels.device)
        pooled: torch.Tensor = tower.post_layernorm(last_block.transformers_states(tower.encoder, states, None, read))
        return pooled

    def _tokenize(self, texts: Sequence[str], *, trim: bool) -> Tokens:
        texts = [self._clean(text) for text in texts]
        encoded = self._reader(
            texts,
            padding="longest" if trim else "max_length",
            truncation=True,
            max_length=self.context_length,
            return_attention_mask=not self._full_length,
            return_tensors="pt",
            verbose=False,
        )
        inputs = {name: encoded[name] for name in ("input_ids", "attention_mask") if name in encoded}
        if encoded.is_fast:
            truncated = tuple(bool(encoding.overflowing) for encoding in encoded.encodings)
        else:
            whole = self._reader(texts, verbose=False)["input_ids"]
            truncated = tuple(len(ids) > self.context_length for ids in whole)
        lengths = None
        if trim and "attention_mask" in inputs and self.tokenizer.padding_side == "right":
            lengths = tuple(inputs["attention_mask"].sum(1).tolist())
        return Tokens(inputs, truncated, lengths)

    def _projections(self) -> dict[str, tuple[str, ...]]:
        return {"image": ("visual_projection",), "text": ("text_projection",)}

    def _may_trim(self) -> bool:
        return not self._full_length

    def _may_read_class_token(self) -> bool:
        tower = getattr(self._module, "vision_model", None)
        return hasattr(tower, "pre_layrnorm") and hasattr(self._module, "visual_projection")

    def _packed_text(self) -> PackedText | None:
        return ClipPackedText(self) if _may_pack(self._module) else None

    def _write(self, directory: Path) -> None:
        state: dict[str, torch.Tensor] | None = None  # the network's own
        if hasattr(self._module.config, _BIAS):
            state = dict(self._module.state_dict())
            self._module.config.logit_bias = float(state.pop(_BIAS))
        self._module.save_pretrained(directory, state_dict=state)
        for part in (self.tokenizer, self.image_processor):
            part.save_pretrained(directory)

    def _settings(self) -> dict[str, object]:
        config = self._module.config.to_dict()
        processor = self.image_processor.to_dict()
        return {
            "architecture": type(self._module).__name__,
            "config": without(config, VOLATILE),
            "preprocessor": {"class": type(self.image_processor).__name__, **without(processor, VOLATILE)},
            "tokenizer": tokenizer_settings(self.tokenizer),
            "text_cleaning": self._text_cleaning,
            "context_length": self.context_length,
        }


class ClipPackedText(PackedText):
    """Packed texts for CLIP's text tower."""

    def __init__(self, model: TransformersModel) -> None:
        self._model = model
        self._network: Any = model.module

    def pack(self, tokens: Tokens) -> list[PackedRow]:
        tower = self._network.text_model
        # CLIP's configurations once said 2, whatever the vocabulary; the tower then takes the largest id.
        by_largest = tower.config.model_type == "clip_text_model" and tower.eos_token_id == 2
        ends = packing.end_tokens(tokens, None if by_largest else tower.eos_token_id)
        return packing.pack(tokens.inputs["input_ids"].numpy(), ends, self._model.context_length)

    def features(self, rows: Sequence[PackedRow]) -> torch.Tensor:
        batch = packing.collate(rows, self._model.device, self._model.dtype)
        features: torch.Tensor = self._network.text_projection(self._end_states(batch))
        return features

    def _end_states(self, batch: packing.PackedBatch) -> torch.Tensor:
        tower = self._network.text_model
        inputs = {"input_ids": batch.input_ids, "position_ids": batch.position_ids}
        if last_block.called_whole(tower):
            return batch.end_tokens.of(tower(**inputs, attention_mask=batch.mask).last_hidden_state)
        states = last_block.transformers_states(tower.encoder, tower.embeddings(**inputs), batch.mask, batch.end_tokens)
        normed: torch.Tensor = tower.final_layer_norm(states)
        return normed


def _features(output: Any, embeds: str) -> torch.Tensor:
    # transformers < 5 returned the tensor itself, and remote code still does, or an output with features by name.
    if isinstance(output, torch.Tensor):
        return output
    for name in (embeds, "pooler_output"):
        features = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(features, torch.Tensor):
            return features
    raise ModelError(f"the model returns a {type(output).__name__} without a tensor {embeds} or pooler_output")


def _is_siglip(module: Any, text_config: Any, tokenizer: Any) -> bool:
    """Whether a text tower is SigLIP's, of any version, whatever the class around it is called."""
    inner = {type(part).__name__ for part in module.modules() if "text" in type(part).__name__.lower()}
    own = {str(module.config.model_type), type(module).__name__, type(tokenizer).__name__}
    return any("siglip" in name.lower() for name in {str(text_config.model_type), *own, *inner})


def _pool_at_the_end(module: Any, tokenizer: Any) -> None:
    """Make CLIP's tower pool at the end token even if tokens were added after it in the vocabulary.

    Old configurations say 2, whatever the vocabulary. The tower then pools at the largest id, which may be an added
    token.
    """
    tower: Any = getattr(module, "text_model", None)
    end = tokenizer.eos_token_id
    if getattr(tower, "eos_token_id", None) != 2 or end is None or not has_clip_vocabulary(tokenizer):
        return
    added = [number for number in tokenizer.added_tokens_decoder if number > end]
    if added and end == tokenizer.vocab_size - 1:
        tower.eos_token_id = tower.config.eos_token_id = end


def _may_pack(module: Any) -> bool:
    config = getattr(getattr(module, "text_model", None), "config", None)
    return (
        getattr(config, "model_type", None) in _PACKING
        and getattr(config, "_attn_implementation", None) in ("eager", "sdpa")  # others know no masks of one's own
        and hasattr(module, "text_projection")
    )


def _unpack(packed: torch.Tensor, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Undo ``TransformersModel.preprocess`` for NaFlex: ``(B, P + 1, V)`` to the image tower's inputs."""
    shapes = packed[:, -1, :2].round().long()  # (B, 2)
    patches = packed[:, :-1]
    index = torch.arange(patches.shape[1], device=packed.device)
    mask = (index[None] < shapes.prod(dim=1, keepdim=True)).to(torch.int32)  # (B, P)
    return {"pixel_values": patches.to(dtype), "pixel_attention_mask": mask, "spatial_shapes": shapes}


def context_length_of(text_config: Any, tokenizer: Any) -> int:
    """The maximum number of tokens of a text."""
    positions = int(getattr(text_config, "max_position_embeddings", 0) or 0)
    positions = positions if positions > 0 else 512  # XLNet's are relative, and says -1
    if text_config.model_type in _OFFSET_POSITIONS:
        positions -= text_config.pad_token_id + 1
    # A tokenizer without a limit says 1e30.
    return min(positions, int(tokenizer.model_max_length))


def _activations(config: Any) -> dict[str, str]:
    """Activation by tower, from the configuration: the networks are built from it."""
    towers = {"text": config.get_text_config(), "image": getattr(config, "vision_config", config)}
    return {side: str(getattr(tower, "hidden_act", None)) for side, tower in towers.items()}


def without(mapping: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """A configuration without some keys, at any depth."""
    return {
        key: without(value, names) if isinstance(value, Mapping) else value
        for key, value in mapping.items()
        if key not in names
    }
