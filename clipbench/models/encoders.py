"""Any object that encodes PIL images and strings, as a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from clipbench.errors import ModelError
from clipbench.models import checks, probes
from clipbench.models.base import Model, ModelInfo, Tokens
from clipbench.models.fingerprint import Fingerprint
from clipbench.utils.digest import digest

_PAD = -1  # after a text's last character


class EncoderModel(Model):
    """An object with ``encode_image(list of PIL images)`` and ``encode_text(list of str)``.

    Each returns one vector per item, as an array, a tensor or a list. Images and texts travel unchanged: pixels as
    bytes, texts as character codes. It can be scored, not trained or saved.

    Args:
        encoders: The object. Where it holds torch networks, their weights go into the fingerprint.

    Raises:
        ModelError: An encoder fails, or their vectors are not finite, not one per item, or of different length.
    """

    untrainable = "encode_image and encode_text return vectors without gradients"

    def __init__(self, encoders: Any) -> None:
        self.id = f"in-memory:{type(encoders).__name__}"
        self._encoders = encoders
        self._network = _networks(encoders)
        first = next(self._network.parameters(), torch.empty(0))
        self.device, self.dtype = first.device, first.dtype
        self._one_at_a_time = {"encode_image": False, "encode_text": False}
        self._outputs = ""
        self._fingerprint = Fingerprint(self._network, lambda: {"class": _path(encoders), "outputs": self._outputs})
        self._probe()

    @property
    def fingerprint(self) -> str:
        """Digest of the networks' weights and of some features; empty for an object without parameters."""
        return self._fingerprint.hex() if any(True for _ in self._network.parameters()) else ""

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            library="in memory",
            architecture=type(self._encoders).__name__,
            parameters=sum(parameter.numel() for parameter in self._network.parameters()) or None,
            precision=checks.dtype_name(self.dtype),
            feature_dim=self._feature_dim,
        )

    @property
    def logit_scale(self) -> torch.Tensor:
        return torch.ones(())

    @property
    def module(self) -> torch.nn.Module:
        return self._network

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """The image itself, ``(3, H, W)`` uint8."""
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)

    def collate(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """Put images of any sizes into ``(B, 4, H, W)`` uint8; the fourth channel is 1 where there is image."""
        height, width = (max(image.shape[side] for image in images) for side in (1, 2))
        batch = torch.zeros(len(images), 4, height, width, dtype=torch.uint8)
        for place, image in zip(batch, images, strict=True):
            place[:3, : image.shape[1], : image.shape[2]] = image
            place[3, : image.shape[1], : image.shape[2]] = 1
        return batch

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        return self._encode("encode_image", [_picture(one) for one in pixels.cpu()])

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Texts as the codes of their characters, ``(B, L)``; the object may still cut them to its context."""
        lengths = tuple(max(1, len(text)) for text in texts)
        codes = torch.full((len(texts), max(lengths, default=1)), _PAD, dtype=torch.int32)
        for row, text in zip(codes, texts, strict=True):
            row[: len(text)] = torch.tensor([ord(character) for character in text], dtype=torch.int32)
        return Tokens({"codes": codes}, (False,) * len(texts), lengths)

    def text_features(self, tokens: Tokens) -> torch.Tensor:
        rows = tokens.inputs["codes"].tolist()
        return self._encode("encode_text", ["".join(chr(code) for code in row if code != _PAD) for row in rows])

    def save(self, directory: Path) -> None:
        raise ModelError(f"{self.id} cannot be saved to {directory}: {self.untrainable}")

    def _encode(self, method: str, items: list[Any]) -> torch.Tensor:
        encode: Callable[[list[Any]], Any] = getattr(self._encoders, method)
        batches = [[item] for item in items] if self._one_at_a_time[method] else [items]
        return torch.cat([_as_features(f"{self.id}: {method}", encode(batch), len(batch)) for batch in batches])

    @torch.no_grad()
    def _probe(self) -> None:
        """Try both encoders, in a batch and one by one."""
        images = [probes.gray_image(), *(probes.noise_image(*size) for size in probes.NOISE_SIZES)]
        found: dict[str, torch.Tensor] = {}
        for method, items in (("encode_image", images), ("encode_text", list(probes.TEXTS))):
            try:
                together = self._encode(method, items)
                singly = torch.cat([self._encode(method, [item]) for item in items])
            except ModelError:
                raise
            except Exception as error:  # whatever the user's code raises
                what = "PIL images" if method == "encode_image" else "strings"
                reason = f"{type(error).__name__}: {error}".split("\n")[0]
                raise ModelError(f"{self.id}: {method} failed on a list of {what}: {reason}") from error
            if not bool(torch.isfinite(singly).all()):
                raise ModelError(f"{self.id}: {method} returned values that are not finite")
            # Padding that changes features would make scores depend on the batch.
            self._one_at_a_time[method] = checks.largest_difference(together, singly) > checks.trimming_tolerance(
                self.dtype
            )
            found[method] = singly
        dims = {method: features.shape[1] for method, features in found.items()}
        if len(set(dims.values())) > 1:
            raise ModelError(f"{self.id}: image and text features do not live in one space: {dims}")
        self._feature_dim = dims["encode_image"]
        self._outputs = digest({method: features.tolist() for method, features in found.items()})


def _networks(encoders: Any) -> torch.nn.Module:
    """The torch networks that an object is or holds."""
    if isinstance(encoders, torch.nn.Module):
        return encoders
    attributes = getattr(encoders, "__dict__", {}).items()
    return torch.nn.ModuleDict({name: value for name, value in attributes if isinstance(value, torch.nn.Module)})


def _path(encoders: Any) -> str:
    return f"{type(encoders).__module__}.{type(encoders).__qualname__}"


def _picture(pixels: torch.Tensor) -> Image.Image:
    """An image of ``EncoderModel.preprocess``, or one of a batch with the padding cut off."""
    if len(pixels) == 4:
        height, width = int(pixels[3, :, 0].sum()), int(pixels[3, 0].sum())
        pixels = pixels[:3, :height, :width]
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def _as_features(name: str, value: Any, count: int) -> torch.Tensor:
    """Vectors of any kind as ``(B, D)`` floats."""
    try:
        if not isinstance(value, torch.Tensor):
            tensors = len(value) > 0 and isinstance(value[0], torch.Tensor)
            value = torch.stack(list(value)) if tensors else torch.from_numpy(np.asarray(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{name} must return one vector per item, as an array or tensor: {error}") from None
    if value.ndim != 2 or len(value) != count:
        raise ModelError(f"{name} returned shape {tuple(value.shape)} for {count} items: one vector each is needed")
    features: torch.Tensor = value if value.is_floating_point() else value.float()
    return features
