"""The feature key: everything that a model's features depend on, as one digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipbench.errors import ModelError
from clipbench.utils.digest import digest

if TYPE_CHECKING:
    import torch

    from clipbench.models.base import Model

SCORING_VERSION = 1
"""Raised whenever the same model and input may give other features than before: decoding, tokens, normalisation."""

_FINGERPRINT = re.compile(r"[0-9a-f]{32,}")


@dataclass(frozen=True, slots=True)
class FeatureKey:
    """Identifies a model's features.

    Attributes:
        key: 32 hex digits; features of equal keys are interchangeable.
        model: The model as the user named it.
        precision: Of the encoders.
        device: ``cpu``, ``cuda``, …: kernels differ, and with them the last digits.
    """

    key: str
    model: str
    precision: str
    device: str


def feature_key_of(model: Model) -> FeatureKey:
    """The key of a model's features.

    The key covers weights, architecture, preprocessing and tokenizer by the model's fingerprint; what preprocessing and
    tokenizer make of fixed images and texts; precision, device, text path, compilation and the versions of the
    libraries that compute; and clipbench's scoring version. For a plug-in's model it also covers the weights
    themselves, because a fingerprint made of the model's name would pass for one.

    Raises:
        ModelError: The model cannot be identified: its fingerprint is no digest, or it shows no weights.
    """
    import PIL
    import torch

    fingerprint = model.fingerprint
    if not fingerprint:
        raise ModelError(f"{model.id}: it has no fingerprint that identifies its weights")
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ModelError(f"{model.id}: its fingerprint {fingerprint!r} is no digest (32 hex digits or more)")
    info = model.info
    precision = str(model.dtype).removeprefix("torch.")
    parts: Mapping[str, object] = {
        "scoring": SCORING_VERSION,
        "fingerprint": fingerprint,
        "weights": None if type(model).__module__.startswith("clipbench.") else _weights(model),
        "inputs": _inputs(model),
        "precision": precision,
        "device": model.device.type,
        "model": [info.library, info.library_version, info.preprocessor, info.text_batching]
        + ["compiled"] * model.compiled,
        "versions": [torch.__version__, PIL.__version__],
    }
    return FeatureKey(digest(parts)[:32], model.id, precision, model.device.type)


def _weights(model: Model) -> str:
    from clipbench.models.fingerprint import Fingerprint

    if not model.module.state_dict():
        raise ModelError(f"{model.id}: it shows no weights that could be compared")
    return Fingerprint(model.module, dict).hex()


def _inputs(model: Model) -> str:
    """Digest of what the encoders get for images of noise and for a few texts."""
    from clipbench.models import probes

    sha = hashlib.sha256()
    for width, height in probes.NOISE_SIZES:
        _add(sha, "pixels", model.preprocess(probes.noise_image(width, height)))
    for text in probes.TOKENIZER_TEXTS:
        for name, tensor in sorted(model.tokenize([text]).inputs.items()):
            _add(sha, name, tensor)
    return sha.hexdigest()


def _add(sha: hashlib._Hash, name: str, tensor: torch.Tensor) -> None:
    values = tensor.detach().cpu().contiguous()
    sha.update(f"\n{name} {values.dtype} {tuple(values.shape)}\n".encode())
    sha.update(values.numpy().tobytes())
