"""Every open_clip model, custom text towers included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from clipbench.models import checks, last_block, packing, probes, text_cleaning
from clipbench.models.base import ModelInfo, PackedRow, PackedText, Tokens
from clipbench.models.fingerprint import tokenizer_settings
from clipbench.models.network import NetworkModel, input_of
from clipbench.models.open_clip import text_tower
from clipbench.models.open_clip.center_crop import image_transform
from clipbench.models.plain_text import hold_language, nllb_code, plain_open_clip_tokenizer
from clipbench.models.spec import NATIVE, OPEN_CLIP_CONFIG, TRAINED

WEIGHTS_NAME = "open_clip_model.safetensors"


class OpenClipModel(NetworkModel):
    """A model of open_clip.

    Args:
        module: A loaded model, its ``visual.preprocess_cfg`` set.
        tokenizer: Its tokenizer: ``SimpleTokenizer`` or ``HFTokenizer``.
        config: The architecture, as ``open_clip_config.json`` holds it under ``model_cfg``, activation included. None
            where it is not known; such a model cannot be saved.
        id: The model as the user named it.
        architecture: The architecture's name, or the class's where it has none.
        dtype: The precision it computes in; some parameters may be kept in float32.
        revision: The commit on the hub, where it came from there.
        center_crop: Whose center crop, see ``clipbench.models.open_clip.center_crop.image_transform``.
        transform: A transform of images to use in place of that; a checkpoint cannot hold one.
        cleaning: ``trained`` or ``native``, see ``clipbench.models.text_cleaning``.

    Raises:
        ModelError: Features of the two sides do not live in one space.
    """

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        config: Mapping[str, Any] | None,
        *,
        id: str,
        architecture: str,
        dtype: torch.dtype,
        revision: str | None = None,
        center_crop: str = "open_clip",
        transform: Any = None,
        cleaning: str = TRAINED,
    ) -> None:
        self.tokenizer = tokenizer
        self.config = None if config is None else {**config, "quick_gelu": bool(config.get("quick_gelu"))}
        self._architecture = architecture
        self._revision = revision
        self._preprocess_config = dict(getattr(module.visual, "preprocess_cfg", {}))
        self._center_crop = center_crop
        self._transform = image_transform(self._preprocess_config, center_crop)
        self._own_transform = transform is not None and repr(transform) != repr(self._transform)
        if self._own_transform:
            self._transform = transform
            self.untrainable = "a checkpoint cannot hold a preprocess that is not open_clip's own"
        if config is None:
            self.untrainable = f"a checkpoint needs the configuration of this {type(module).__name__}: load it by name"
        self._tower = getattr(module, "text", module)
        hold_language(getattr(tokenizer, "tokenizer", None))
        known = text_cleaning.cleaning_of_open_clip(tokenizer, text_tower.pooling(self._tower)[0])
        self._text_cleaning, self._reader = NATIVE, tokenizer
        if cleaning == TRAINED and known:
            self._text_cleaning = known
            self._reader = plain_open_clip_tokenizer(tokenizer, text_cleaning.CLEANINGS[known])
        self._default_language: str | None = getattr(getattr(self._reader, "tokenizer", None), "src_lang", None)
        super().__init__(module, id=id, dtype=dtype, context_length=int(tokenizer.context_length))

    @property
    def info(self) -> ModelInfo:
        import open_clip

        own = f"{type(self._transform).__name__} in memory"
        return ModelInfo(
            library="open_clip",
            library_version=open_clip.__version__,
            architecture=self._architecture,
            parameters=sum(parameter.numel() for parameter in self._module.parameters()),
            revision=self._revision,
            precision=checks.dtype_name(self.dtype),
            preprocessor=own if self._own_transform else f"open_clip (PIL), center_crop={self._center_crop}",
            activation=_activations(self.config),
            context_length=self.context_length,
            feature_dim=self.feature_dim,
            text_cleaning=self._text_cleaning,
            text_batching=self.text_batching,
            compiled=self.compiled,
        )

    @property
    def logit_scale(self) -> torch.Tensor:
        scale: torch.Tensor = self._module.logit_scale.exp()
        return scale.reshape(())

    @property
    def towers(self) -> Sequence[torch.nn.Module]:
        return self._module.visual, getattr(self._tower, "transformer", self._tower)

    def add_logit_bias(self, value: float) -> None:
        super().add_logit_bias(value)
        if self.config is not None:
            self.config["init_logit_bias"] = value  # with which open_clip builds a network that has one

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        pixels: torch.Tensor = self._transform(image)
        return pixels

    def resized(self, image: Image.Image) -> NDArray[np.uint8] | None:
        *steps, _, scale = getattr(self._transform, "transforms", (None, None))
        if type(scale).__name__ != "Normalize":
            return None
        for step in steps:
            image = step(image)
        return np.asarray(image).transpose(2, 0, 1) if isinstance(image, Image.Image) else None

    def use_language(self, language: str) -> str:
        inner = getattr(self._reader, "tokenizer", None)
        if self._default_language is None or inner is None:
            return ""
        code = nllb_code(language) if language else self._default_language
        inner.src_lang = code
        return code if code != self._default_language else ""

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.to(self.device, self.dtype, non_blocking=True)
        if self._reads_class_token and not last_block.called_whole(self._module.visual):
            return self._class_features(pixels)
        # normalize=False because CoCa normalizes by default
        features: torch.Tensor = self._module.encode_image(pixels, normalize=False)
        return features

    def _class_features(self, pixels: torch.Tensor) -> torch.Tensor:
        visual = self._module.visual
        read = last_block.class_tokens(len(pixels), pixels.device)
        states = last_block.open_clip_states(visual.transformer, visual._embeds(pixels), None, read)
        pooled: torch.Tensor = visual.ln_post(states)
        return pooled if visual.proj is None else pooled @ visual.proj

    def image_tower_features(self, pixels: torch.Tensor) -> torch.Tensor:
        visual, head = self._module.visual, self._image_head()
        if head is None:
            return self.image_features(pixels)
        if isinstance(head, torch.nn.Module):
            return input_of(head, lambda: self.image_features(pixels))
        visual.proj = None  # open_clip then leaves the product out
        try:
            return self.image_features(pixels)
        finally:
            visual.proj = head

    def project_images(self, features: torch.Tensor) -> torch.Tensor:
        head = self._image_head()
        if head is None:
            return features
        features = features.to(self.device, self.dtype)
        projected: torch.Tensor = head(features) if isinstance(head, torch.nn.Module) else features @ head
        return projected

    def _image_head(self) -> torch.nn.Module | torch.nn.Parameter | None:
        """The image tower's projection: a matrix of open_clip's own towers, the last layer of timm's."""
        visual = self._module.visual
        last: Any = getattr(visual, "head", None)
        found = [getattr(visual, "proj", None), getattr(last, "proj", None), getattr(last, "mlp", None)]
        return next((head for head in found if isinstance(head, torch.nn.Module | torch.nn.Parameter)), None)

    def text_features(self, tokens: Tokens) -> torch.Tensor:
        ids = tokens.inputs["input_ids"].to(self.device, non_blocking=True)
        if ids.shape[1] < self.context_length:
            return text_tower.encode_short(self._tower, ids)
        features: torch.Tensor = self._module.encode_text(ids, normalize=False)
        return features

    def _tokenize(self, texts: Sequence[str], *, trim: bool) -> Tokens:
        lengths = _lengths(self._reader, texts)
        ids: torch.Tensor = self._reader(list(texts))
        truncated = tuple(length > self.context_length for length in lengths)
        if not trim:
            return Tokens({"input_ids": ids}, truncated)
        kept = tuple(min(length, self.context_length) for length in lengths)
        return Tokens({"input_ids": ids[:, : max(kept, default=1)]}, truncated, kept)

    def _projections(self) -> dict[str, tuple[str, ...]]:
        return {
            "image": ("visual.proj", "visual.head.proj", "visual.head.mlp"),
            "text": ("text_projection", "text.text_projection", "text.proj"),
        }

    def _may_trim(self) -> bool:
        return text_tower.is_causal(self._tower) and not getattr(self.tokenizer, "reduction_fn", None)

    def _may_read_class_token(self) -> bool:
        visual = self._module.visual
        return getattr(visual, "pool_type", None) == "tok" and getattr(visual, "attn_pool", None) is None

    def _packed_text(self) -> PackedText:
        return _PackedText(self, self._tower)

    def _write(self, directory: Path) -> None:
        from safetensors.torch import save_file

        keep = ("mean", "std", "interpolation", "resize_mode")
        preprocess = {name: self._preprocess_config[name] for name in keep if name in self._preprocess_config}
        settings = {"model_cfg": self.config, "preprocess_cfg": preprocess}
        # clone: safetensors refuses weights that share memory
        state = {name: tensor.detach().cpu().clone() for name, tensor in self._module.state_dict().items()}
        save_file(state, directory / WEIGHTS_NAME, metadata={"format": "pt"})
        if hasattr(self.tokenizer, "save_pretrained"):
            self.tokenizer.save_pretrained(directory)
        (directory / OPEN_CLIP_CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    def _settings(self) -> dict[str, object]:
        return {
            "architecture": type(self._module).__name__,
            "config": self.config,
            "preprocessor": self._preprocessor_settings(),
            "tokenizer": _tokenizer_settings(self.tokenizer),
            "text_cleaning": self._text_cleaning,
            "context_length": self.context_length,
        }

    def _preprocessor_settings(self) -> dict[str, object]:
        if not self._own_transform:
            return {**self._preprocess_config, "crop": self._center_crop}
        sha = hashlib.sha256()
        for size in probes.NOISE_SIZES:
            sha.update(self._transform(probes.noise_image(*size)).numpy().tobytes())
        return {"pixels": sha.hexdigest()}


def _activations(config: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Activation by tower; a tower of another library is named in its place."""
    if config is None:
        return None
    activation = "quick_gelu" if config["quick_gelu"] else "gelu"
    return {
        "text": config["text_cfg"].get("hf_model_name") or activation,
        "image": config["vision_cfg"].get("timm_model_name") or activation,
    }


class _PackedText(PackedText):
    """Packed texts for open_clip's own text towers."""

    def __init__(self, model: OpenClipModel, tower: Any) -> None:
        self._model, self._tower = model, tower

    def pack(self, tokens: Tokens) -> list[PackedRow]:
        pool, end_id = text_tower.pooling(self._tower)
        ends = packing.end_tokens(tokens, end_id if pool == "eos" else None)
        return packing.pack(tokens.inputs["input_ids"].numpy(), ends, self._model.context_length)

    def features(self, rows: Sequence[PackedRow]) -> torch.Tensor:
        batch = packing.collate(rows, self._model.device, self._model.dtype)
        heads = text_tower.heads(self._tower)
        mask = batch.mask.expand(-1, heads, -1, -1).flatten(0, 1)  # (B · heads, W, W), as MultiheadAttention wants it
        states = text_tower.states(self._tower, batch.input_ids, batch.position_ids, mask, batch.end_tokens)
        return text_tower.project(self._tower, states)


def _lengths(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """How many tokens each text has, special ones included, before anything is cut."""
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is None:
        return [len(tokenizer.encode(text)) + 2 for text in texts]
    cleaned = [tokenizer.clean_fn(text) for text in texts]
    return [len(ids) for ids in inner(cleaned, verbose=False)["input_ids"]]


def _tokenizer_settings(tokenizer: Any) -> dict[str, object]:
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is not None:
        mode = {"strip": tokenizer.strip_sep_token, "mode": tokenizer.tokenizer_mode}
        return {**tokenizer_settings(inner), **mode, "clean": tokenizer.clean_fn.__name__}
    digest = hashlib.sha256(repr((tokenizer.encoder, tokenizer.bpe_ranks)).encode()).hexdigest()
    return {"class": type(tokenizer).__name__, "sha256": digest, "clean": tokenizer.clean_fn.__name__}
