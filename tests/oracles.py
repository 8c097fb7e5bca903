"""Models whose scores are known beforehand, and data in which they can be known.

An image is one flat color that spells its number; a text's own image is known from a table. So a perfect
model is a lookup, and everything between a file on disk and a score is the real thing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from clipbench.models import Model, ModelInfo, Tokens

DIM = 64


def numbered_image(number: int) -> Image.Image:
    """A flat picture that spells ``number``."""
    return Image.new("RGB", (8, 8), (number % 256, number // 256, 77))


def unit(seed: str) -> torch.Tensor:
    """A direction that depends on ``seed`` alone."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little")
    vector = torch.from_numpy(np.random.default_rng(number).standard_normal(DIM)).float()
    return vector / vector.norm()


class OracleModel(Model):
    """Encodes images and texts by two given functions.

    Args:
        image: From an image's number to its feature.
        text: From a text to its feature.
        most: A batch larger than this is out of memory.
    """

    def __init__(
        self,
        image: Callable[[int], torch.Tensor],
        text: Callable[[str], torch.Tensor],
        most: int = 10**9,
    ) -> None:
        self.id = "oracle"
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.most = most
        self.image, self.text = image, text
        self.decoded = 0
        self.image_batches: list[int] = []
        self.text_batches: list[int] = []
        self._texts: list[str] = []

    @property
    def fingerprint(self) -> str:
        return "oracle"

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(library="tests")

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        self.decoded += 1
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        self._texts = list(texts)
        return Tokens({"input_ids": torch.arange(len(texts))[:, None]}, tuple(len(text) > 200 for text in texts))

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        self._fit(len(pixels))
        self.image_batches.append(len(pixels))
        numbers = (pixels[:, 0, 4, 4] + 256 * pixels[:, 1, 4, 4]).round().int().tolist()
        return torch.stack([self.image(number) for number in numbers])

    def text_features(self, tokens: Tokens) -> torch.Tensor:
        numbers = tokens.inputs["input_ids"][:, 0].tolist()
        self._fit(len(numbers))
        self.text_batches.append(len(numbers))
        return torch.stack([self.text(self._texts[number]) for number in numbers])

    def _fit(self, count: int) -> None:
        if count > self.most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")

    @property
    def logit_scale(self) -> torch.Tensor:
        return torch.tensor(1.0)

    @property
    def module(self) -> torch.nn.Module:
        return torch.nn.Identity()

    def save(self, directory: Path) -> None:
        raise NotImplementedError


def oracle(kind: str, owners: Mapping[str, int], **options: int) -> OracleModel:
    """A model of one kind.

    Args:
        kind: ``perfect``: a text's feature is its image's. ``reversed``: the opposite of it. ``constant``: all
            are equal. ``nan``. ``random``: directions that depend on number and text alone.
        owners: Text to the number of its image. Other texts get a direction of their own.
        **options: Passed to :class:`OracleModel`.
    """

    def image(number: int) -> torch.Tensor:
        return unit(f"image {number}")

    def text(words: str, sign: float = 1) -> torch.Tensor:
        return sign * image(owners[words]) if words in owners else unit(words)

    kinds: dict[str, tuple[Callable[[int], torch.Tensor], Callable[[str], torch.Tensor]]] = {
        "perfect": (image, text),
        "reversed": (image, lambda words: text(words, -1)),
        "constant": (lambda number: torch.ones(DIM), lambda words: torch.ones(DIM)),
        "nan": (lambda number: torch.full((DIM,), torch.nan), lambda words: torch.full((DIM,), torch.nan)),
        "random": (image, unit),
    }
    return OracleModel(*kinds[kind], **options)
