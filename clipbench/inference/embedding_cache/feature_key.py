"""The space that embeddings live in: all that a model's features depend on, in one key."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipbench.errors import ModelError

if TYPE_CHECKING:
    import torch

    from clipbench.models.base import Model

SCORING_VERSION = 1
"""Raised whenever the same model and input may give other features than before: decoding, tokens, normalisation."""

_FINGERPRINT = re.compile(r"[0-9a-f]{32,}")


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """A space of embeddings.

    Attributes:
        key: 32 hex digits: equal means that embeddings may stand for each other.
        model: The model as the user named it.
        precision: Of the encoders.
        device: ``cpu``, ``cuda``, …: kernels differ, and with them the last digits.
    """

    key: str
    model: str
    precision: str
    device: str


def feature_key_of(model: Model) -> FeatureSpace:
    """The space of a model's embeddings.

    The key covers weights, architecture, preprocessing and tokenizer by the model's fingerprint; what preprocessing and
    tokenizer do, as seen on fixed images and texts; precision, device, text path, compilation and the versions of the
    libraries that compute; and clipbench's scoring version. Of a plugin's model it covers the weights themselves as
    well, because a fingerprint made of the model's name would pass for one.

    Raises:
        ModelError: Nothing vouches for the model: its fingerprint is no digest, or it shows no weights.
    """
    import PIL
    import torch

    fingerprint = model.fingerprint
    if not fingerprint:
        raise ModelError(f"{model.id}: it has no weights that tell whether it changed, so features cannot be cached")
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
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    return FeatureSpace(key, model.id, precision, model.device.type)


def _weights(model: Model) -> str:
    from clipbench.models.fingerprint import Fingerprint

    if not model.module.state_dict():
        raise ModelError(f"{model.id}: it shows no weights, so nobody can tell whether they are the same")
    return Fingerprint(model.module, dict).hex()


def _inputs(model: Model) -> str:
    """Digest of what the towers get to see of images of noise and of a few texts."""
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
