"""Every open_clip model, custom text towers included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from clipbench.errors import ModelError
from clipbench.models import checks, packing
from clipbench.models.base import Model, Tokens
from clipbench.models.fingerprint import Fingerprint, tokenizer_settings
from clipbench.models.open_clip import text_tower as openclip_tower
from clipbench.models.open_clip.crop import image_transform
from clipbench.models.saving import writing_checkpoint
from clipbench.models.spec import OPEN_CLIP_CONFIG

WEIGHTS_NAME = "open_clip_model.safetensors"


class OpenClipModel(Model):
    """A model of open_clip.

    Args:
        module: A loaded model, its ``visual.preprocess_cfg`` set.
        tokenizer: Its tokenizer: ``SimpleTokenizer`` or ``HFTokenizer``.
        config: The architecture, as ``open_clip_config.json`` holds it under ``model_cfg``, activation included.
        id: The model as the user named it.
        architecture: The architecture's name, or the class's where it has none.
        dtype: The precision it computes in; some parameters may be kept in float32.
        revision: The commit on the hub, where it came from there.
        crop: ``floor`` or ``native``; see :class:`clipbench.models.open_clip.crop.FloorCrop`.

    Raises:
        ModelError: Features of the two sides do not live in one space.
    """

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        config: Mapping[str, Any],
        *,
        id: str,
        architecture: str,
        dtype: torch.dtype,
        revision: str | None = None,
        crop: str = "floor",
    ) -> None:
        self.id = id
        self.dtype = dtype
        self.device = next(module.parameters()).device
        self._module = module.eval()
        self._tokenizer = tokenizer
        self._config = {**config, "quick_gelu": bool(config.get("quick_gelu"))}
        self._architecture = architecture
        self._revision = revision
        self._preprocess_config = dict(module.visual.preprocess_cfg)
        self._crop = crop
        self._transform = image_transform(self._preprocess_config, crop)
        self._context_length = int(tokenizer.context_length)
        self._tower = getattr(module, "text", module)
        self._trims = self._packs = False
        self._fingerprint = Fingerprint(module, self._settings)
        self._probe()

    @property
    def fingerprint(self) -> str:
        return self._fingerprint.hex()

    @property
    def facts(self) -> Mapping[str, object]:
        import open_clip

        activation = "quick_gelu" if self._config.get("quick_gelu") else "gelu"
        text, image = self._config["text_cfg"], self._config["vision_cfg"]
        return {
            "library": "open_clip",
            "library_version": open_clip.__version__,
            "architecture": self._architecture,
            "parameters": sum(parameter.numel() for parameter in self._module.parameters()),
            "revision": self._revision,
            "precision": checks.dtype_name(self.dtype),
            "preprocessor": f"open_clip.image_transform_v2 (PIL), crop={self._crop}",
            "activation": {
                "text": text.get("hf_model_name") or activation,
                "image": image.get("timm_model_name") or activation,
            },
            "context_length": self._context_length,
            "feature_dim": self._feature_dim,
            "text_path": "packed" if self._packs else "trimmed" if self._trims else "padded",
            "compiled": self.compiled,
        }

    @property
    def logit_scale(self) -> torch.Tensor:
        scale: torch.Tensor = self._module.logit_scale.exp()
        return scale.reshape(())

    @property
    def module(self) -> torch.nn.Module:
        network: torch.nn.Module = self._module
        return network

    @property
    def towers(self) -> Sequence[torch.nn.Module]:
        return self._module.visual, getattr(self._tower, "transformer", self._tower)

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        pixels: torch.Tensor = self._transform(image)
        return pixels

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        # normalize=False because CoCa normalises unless told otherwise
        features: torch.Tensor = self._module.encode_image(
            pixels.to(self.device, self.dtype, non_blocking=True), normalize=False
        )
        return features

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        return self._tokenize(texts, trim=self._trims)

    def _tokenize(self, texts: Sequence[str], *, trim: bool) -> Tokens:
        lengths = _lengths(self._tokenizer, texts)
        ids: torch.Tensor = self._tokenizer(list(texts))
        truncated = tuple(length > self._context_length for length in lengths)
        if not trim:
            return Tokens({"input_ids": ids}, truncated)
        kept = tuple(min(length, self._context_length) for length in lengths)
        return Tokens({"input_ids": ids[:, : max(kept, default=1)]}, truncated, kept)

    def text_features(self, tokens: Tokens) -> torch.Tensor:
        ids = tokens.inputs["input_ids"].to(self.device, non_blocking=True)
        if ids.shape[1] < self._context_length:
            return openclip_tower.encode_short(self._tower, ids)
        features: torch.Tensor = self._module.encode_text(ids, normalize=False)
        return features

    @property
    def packs(self) -> bool:
        return self._packs

    def pack(self, tokens: Tokens) -> list[packing.PackedRow]:
        if not self._packs:
            return super().pack(tokens)
        pool, end_id = openclip_tower.pooling(self._tower)
        ends = packing.end_tokens(tokens, end_id if pool == "eos" else None)
        return packing.pack(tokens.inputs["input_ids"].numpy(), ends, self._context_length)

    def packed_text_features(self, rows: Sequence[packing.PackedRow]) -> torch.Tensor:
        batch = packing.collate(rows, self.device, self.dtype)
        heads = openclip_tower.heads(self._tower)
        mask = batch.mask.expand(-1, heads, -1, -1).flatten(0, 1)  # (B · heads, W, W), as MultiheadAttention wants it
        states = openclip_tower.states(self._tower, batch.input_ids, batch.position_ids, mask)
        return openclip_tower.project(self._tower, batch.at_ends(states))

    def save(self, directory: Path) -> None:
        from safetensors.torch import save_file

        keep = ("mean", "std", "interpolation", "resize_mode")
        preprocess = {name: self._preprocess_config[name] for name in keep if name in self._preprocess_config}
        settings = {"model_cfg": self._config, "preprocess_cfg": preprocess}
        # clone: safetensors refuses weights that share memory
        state = {name: tensor.detach().cpu().clone() for name, tensor in self._module.state_dict().items()}
        with writing_checkpoint(directory) as beside:
            save_file(state, beside / WEIGHTS_NAME, metadata={"format": "pt"})
            if hasattr(self._tokenizer, "save_pretrained"):
                self._tokenizer.save_pretrained(beside)
            (beside / OPEN_CLIP_CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    @torch.no_grad()
    def _probe(self) -> None:
        """Encode a few texts and an image: the two sides must fit, and trimming and packing change nothing."""
        padded = self.text_features(self._tokenize(checks.PROBE_TEXTS, trim=False))
        image = self.image_features(self.preprocess(Image.new("RGB", (64, 48), "gray"))[None])
        if padded.ndim != 2 or padded.shape[1:] != image.shape[1:]:
            raise ModelError(
                f"{self.id}: text features {tuple(padded.shape)} and image features {tuple(image.shape)} "
                "do not live in one space"
            )
        self._feature_dim = padded.shape[1]
        if openclip_tower.is_causal(self._tower) and not getattr(self._tokenizer, "reduction_fn", None):
            singly = [self.text_features(self._tokenize([text], trim=True)) for text in checks.PROBE_TEXTS]
            difference = checks.largest_difference(padded, torch.cat(singly))
            self._trims = difference <= checks.trimming_tolerance(self.dtype)
        self._packs = self._trims
        self._packs = self._packs and packing.packs_exactly(self)

    def _settings(self) -> dict[str, object]:
        return {
            "architecture": type(self._module).__name__,
            "config": self._config,
            "preprocessor": {**self._preprocess_config, "crop": self._crop},
            "tokenizer": _tokenizer_settings(self._tokenizer),
            "context_length": self._context_length,
        }


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
