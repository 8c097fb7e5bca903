"""The model that comes with clipbench, trained on its embedded world of drawn scenes.

Its files are an ordinary transformers checkpoint. They are read without transformers, whose import takes longer than
scoring a task with a model this small; features are the same up to rounding.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from clipbench.errors import ConfigError, ModelError
from clipbench.models import checks
from clipbench.models.base import ModelInfo, PackedText, Tokens
from clipbench.models.clip_network import ClipNetwork, Config
from clipbench.models.hf import ClipPackedText, TransformersModel
from clipbench.models.network import NetworkModel
from clipbench.models.plain_text import plain_backend
from clipbench.models.spec import NATIVE, TRANSFORMERS_CONFIG, ModelSpec
from clipbench.models.text_cleaning import CLEANINGS, requested

FOLDER: Final = Path(__file__).parents[1] / "scenes" / "demo"
_WEIGHTS, _TOKENIZER, _PROCESSOR = "model.safetensors", "tokenizer.json", "processor_config.json"
_COPIED = (_TOKENIZER, "tokenizer_config.json", _PROCESSOR)
_CLEANING: Final = "lower"  # of every CLIP vocabulary


class DemoModel(TransformersModel):
    """A CLIP in transformers' format, by a network, a tokenizer and an image processor without that library.

    Args:
        module: The network with its weights.
        id: The model as the user named it.
        cleaning: ``trained`` or ``native``, see ``clipbench.models.text_cleaning``.
    """

    def __init__(self, module: ClipNetwork, *, id: str, cleaning: str) -> None:
        from tokenizers import Tokenizer

        backend: Any = Tokenizer.from_file(str(FOLDER / _TOKENIZER))
        self._text_cleaning = NATIVE if cleaning == NATIVE else _CLEANING
        self._clean = CLEANINGS.get(self._text_cleaning, str)
        if cleaning != NATIVE:
            backend = plain_backend(backend)
            backend.encode_special_tokens = True
        backend.no_padding()
        context_length = int(module.config.text_config.max_position_embeddings)
        backend.enable_truncation(context_length)
        self._backend, self._pad = backend, int(module.config.text_config.pad_token_id)
        self._packs_patches = False
        NetworkModel.__init__(
            self, module, id=id, dtype=module.visual_projection.weight.dtype, context_length=context_length
        )

    @property
    def info(self) -> ModelInfo:
        config = self._module.config
        return ModelInfo(
            library="transformers",
            library_version=importlib.metadata.version("transformers"),
            architecture="CLIPModel",
            parameters=sum(parameter.numel() for parameter in self._module.parameters()),
            precision=checks.dtype_name(self.dtype),
            preprocessor="CLIPImageProcessorPil",
            activation={"text": config.text_config.hidden_act, "image": config.vision_config.hidden_act},
            context_length=self.context_length,
            feature_dim=self.feature_dim,
            text_cleaning=self._text_cleaning,
            text_batching=self.text_batching,
            compiled=self.compiled,
        )

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        settings = _json(_PROCESSOR)["image_processor"]
        mean, spread = (np.array(settings[name], np.float32)[:, None, None] for name in ("image_mean", "image_std"))
        shares = (self.resized(image).astype(np.float64) * settings["rescale_factor"]).astype(np.float32)
        return torch.from_numpy((shares - mean) / spread)

    def resized(self, image: Image.Image) -> NDArray[np.uint8]:
        """The shorter side to the network's, bicubic, and the middle of it, ``(3, H, W)``."""
        side = int(self._module.config.vision_config.image_size)
        shorter = min(image.size)
        width, height = (side if length == shorter else int(side * length / shorter) for length in image.size)
        left, top = (width - side) // 2, (height - side) // 2
        whole = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
        return np.ascontiguousarray(whole[top : top + side, left : left + side].transpose(2, 0, 1))

    def _tokenize(self, texts: Sequence[str], *, trim: bool) -> Tokens:
        encoded = self._backend.encode_batch([self._clean(text) for text in texts])
        lengths = tuple(map(len, encoded))
        width = max(lengths, default=0) if trim else self.context_length
        ids = np.full((len(encoded), width), self._pad)
        for row, encoding in zip(ids, encoded, strict=True):
            row[: len(encoding)] = encoding.ids
        seen = np.arange(width) < np.array(lengths, dtype=int)[:, None]
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(seen.astype(np.int64))}
        truncated = tuple(bool(encoding.overflowing) for encoding in encoded)
        return Tokens(inputs, truncated, lengths if trim else None)

    def _may_trim(self) -> bool:
        return True

    def _packed_text(self) -> PackedText:
        return ClipPackedText(self)

    def _write(self, directory: Path) -> None:
        from safetensors.torch import save_file

        state = {name: tensor.contiguous() for name, tensor in self._module.state_dict().items()}
        config = self._module.config.to_dict()
        if "logit_bias" in state:
            config["logit_bias"] = float(state.pop("logit_bias"))
        config["dtype"] = checks.dtype_name(self.dtype)
        save_file(state, directory / _WEIGHTS, metadata={"format": "pt"})
        (directory / TRANSFORMERS_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        for name in _COPIED:
            shutil.copyfile(FOLDER / name, directory / name)

    def _settings(self) -> dict[str, object]:
        return {
            "architecture": "CLIPModel",
            "config": _json(TRANSFORMERS_CONFIG),
            "preprocessor": _json(_PROCESSOR),
            "tokenizer": hashlib.sha256((FOLDER / _TOKENIZER).read_bytes()).hexdigest(),
            "text_cleaning": self._text_cleaning,
            "context_length": self.context_length,
        }


@cache
def _json(name: str) -> Any:
    """What one of the model's files contains."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def load(request: ModelSpec) -> DemoModel:
    """Load it from the package.

    Raises:
        ConfigError: An argument was given that the demo model does not have.
        ModelError: The installation lacks it.
    """
    from safetensors.torch import load_file

    request.only("text_cleaning")
    if request.source or request.revision:
        what = f"demo:{request.source}" if request.source else f"revision {request.revision}"
        raise ConfigError(f"{what}: there is one demo model only, called demo")
    cleaning = requested(request)
    device, dtype = checks.resolve_device(request.device), checks.resolve_dtype(request.dtype)
    lacking = [name for name in (TRANSFORMERS_CONFIG, _WEIGHTS, *_COPIED) if not (FOLDER / name).is_file()]
    if lacking:
        raise ModelError(f"the demo model is not in this installation ({FOLDER / lacking[0]}): reinstall clipbench")
    module = ClipNetwork(Config.of(_json(TRANSFORMERS_CONFIG)))
    module.load_state_dict(load_file(FOLDER / _WEIGHTS))
    return DemoModel(module.to(device, dtype), id=request.id, cleaning=cleaning)
