"""Precomputed embeddings as a model: features are looked up, and nothing is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import torch

from clipbench.errors import DataError, ModelError
from clipbench.metrics import Floats
from clipbench.models.base import Model, ModelInfo, Tokens
from clipbench.models.embedding_file import Embeddings, read_embeddings
from clipbench.models.spec import ModelSpec

if TYPE_CHECKING:
    from PIL import Image

_UNIT = 1e-6  # rows this close to length 1 are not normalized, so that scores equal the writer's to the last bit


def load(request: ModelSpec) -> EmbeddingModel:
    """Load ``embeddings:FILE``.

    Raises:
        ModelError: The file cannot be read or used.
        ConfigError: An argument is invalid.
    """
    request.only("pretrained")
    source = request.source or request.text("pretrained")
    if not source:
        raise ModelError(f"{request.id}: name a file, as in embeddings:features.npz")
    return EmbeddingModel(read_embeddings(Path(source).expanduser()), id=request.id)


class EmbeddingModel(Model):
    """A table of unit features.

    An image is looked up by its key (as in sample logs) or, if the table lacks that, by its file name.

    Args:
        embeddings: The content of the table.
        id: The model's name in results.

    Raises:
        ModelError: One key has two different rows.
    """

    untrainable = "precomputed embeddings have no weights"

    def __init__(self, embeddings: Embeddings, id: str) -> None:
        self.id = id
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self._digest = embeddings.digest
        self._dim = max(embeddings.image_features.shape[1], embeddings.text_features.shape[1])
        self._images = _table(id, "image", embeddings.image_keys, embeddings.image_features)
        self._texts = _table(id, "text", embeddings.texts, embeddings.text_features)
        self._names: dict[str, list[str]] = {}
        for key in self._images:
            self._names.setdefault(_file_name(key), []).append(key)
        self.lookup = self

    def image(self, key: str) -> Floats:
        """The unit feature ``(D,)`` of an image.

        Raises:
            DataError: There is none, or several images have this file name.
        """
        if key in self._images:
            return self._images[key]
        near = self._names.get(_file_name(key), [])
        if len(near) == 1:
            return self._images[near[0]]
        why = f"{len(near)} images of this file name have one" if near else "no embedding of it"
        raise DataError(f"{key}: {why} in {self.id}")

    def text_problem(self, text: str) -> str | None:
        return None if text in self._texts else f"{self.id} holds no embedding of"

    def texts(self, texts: Sequence[str]) -> Floats:
        """The unit features ``(M, D)`` of texts.

        Raises:
            ModelError: Some are missing; names the first and their number.
        """
        missing = [text for text in texts if text not in self._texts]
        if missing:
            raise ModelError(
                f"{self.id}: no embedding of {len(missing):,} of {len(texts):,} texts, such as {missing[0]!r}"
            )
        return np.stack([self._texts[text] for text in texts])

    @property
    def fingerprint(self) -> str:
        return self._digest

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(library="embeddings", precision="float32", feature_dim=self._dim)

    @property
    def logit_scale(self) -> torch.Tensor:
        return torch.ones(())

    @property
    def module(self) -> torch.nn.Module:
        return torch.nn.Module()

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        return torch.zeros(3, 1, 1)  # images are looked up by key and never opened

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        return Tokens({"input_ids": torch.zeros(len(texts), 1, dtype=torch.long)}, (False,) * len(texts))

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        raise ModelError(f"{self.id}: holds embeddings, and encodes no images")

    def text_features(self, tokens: Tokens) -> torch.Tensor:
        raise ModelError(f"{self.id}: holds embeddings, and encodes no texts")

    def save(self, directory: Path) -> None:
        raise ModelError(f"{self.id} cannot be saved to {directory}: {self.untrainable}")


def _table(id: str, kind: str, keys: Sequence[str], features: Floats) -> dict[str, Floats]:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    units = np.where(np.abs(norms - 1) < _UNIT, features, features / norms)
    found: dict[str, Floats] = {}
    for key, row in zip(keys, units, strict=True):
        if key in found and not np.array_equal(found[key], row):
            raise ModelError(f"{id}: two different embeddings of {kind} {key[:80]!r}")
        found[key] = row
    return found


def _file_name(key: str) -> str:
    return PurePosixPath(key.replace("\\", "/")).name
