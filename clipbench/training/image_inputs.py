"""Image batches of a training: pixels, or features that a frozen tower computes once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from clipbench.errors import DataError
from clipbench.evaluation.options import Progress
from clipbench.inference.embedding_cache import EmbeddingCache, image_key
from clipbench.inference.embedding_cache.feature_key import FeatureKey
from clipbench.models import Model, probes
from clipbench.training.gradient_cache import AUTOCAST
from clipbench.training.recipe import Recipe
from clipbench.training.sampling import Ints
from clipbench.training.towers import find_towers
from clipbench.utils.digest import digest

_GPU_BATCH, _CPU_BATCH = 256, 32  # on a CPU, activations of more images do not stay in its caches


class PreparedImages(Protocol):
    """Preprocessed images: from a cache, or decoded when they are asked for."""

    @property
    def contents(self) -> Sequence[str]:
        """What identifies each image: equal for images of the same bytes."""

    @property
    def broken(self) -> Mapping[int, str]:
        """Images that are known to be unreadable, by index, and why."""

    def __len__(self) -> int: ...

    def batch(self, indices: Ints, device: torch.device) -> Tensor:
        """Return a row for each image, in order, on the device."""


class Pixels:
    """Pixels, for a trained image tower."""

    def __init__(self, cache: PreparedImages, device: torch.device) -> None:
        self._cache, self._device = cache, device

    def batch(self, indices: Ints) -> Tensor:
        """Return a row for each image, in order."""
        return self._cache.batch(indices, self._device)


class FrozenFeatures:
    """Features of a frozen image tower before its projection, ``(images, W)``."""

    def __init__(self, rows: Tensor, usable: Tensor) -> None:
        self._rows, self._usable = rows, usable

    def mean(self) -> Tensor:
        """The mean over all images that have features, ``(W,)``."""
        return self._rows[self._usable].double().mean(0).float()

    def batch(self, indices: Ints) -> Tensor:
        """Return a row for each image, in order."""
        return self._rows[torch.from_numpy(indices).to(self._rows.device)]


def frozen_features(
    model: Model,
    images: PreparedImages,
    recipe: Recipe,
    folder: Path | None,
    on_note: Callable[[str], None],
    on_progress: Progress,
) -> FrozenFeatures:
    """Encode all images once, up to the projection: a frozen tower gives the same features in every epoch and run.

    Args:
        model: The model.
        images: The images.
        recipe: Says how precisely the encoders compute.
        folder: Cache folder, in which the features are kept for further runs with the same tower; None keeps none.
        on_note: Called with one line about damage, or if nothing can be kept.
        on_progress: Called with the images that are done.

    Raises:
        DataError: No image can be read.
    """
    usable = [index for index in range(len(images)) if index not in images.broken]
    if not usable:
        raise DataError("no image can be read")
    keys = {index: image_key(images.contents[index].encode()) for index in usable}
    cache = EmbeddingCache(folder, _tower_key(model, recipe), on_note) if folder else None
    known = {} if cache is None else cache.find(list(dict.fromkeys(keys.values())))
    rows: dict[bytes, Tensor] = {key: torch.from_numpy(hit.feature) for key, hit in known.items()}
    waiting = list({keys[index]: index for index in reversed(usable) if keys[index] not in rows}.values())[::-1]
    size = _CPU_BATCH if model.device.type == "cpu" else _GPU_BATCH
    for start in range(0, len(waiting), size):
        part = waiting[start : start + size]
        features = _encode(model, images.batch(np.array(part, dtype=np.int64), model.device), recipe).cpu()
        rows.update(zip((keys[index] for index in part), features, strict=True))
        if cache is not None:
            cache.add("images", [keys[index] for index in part], features.numpy(), [False] * len(part))
        on_progress("image features", start + len(part), len(waiting))
    table = torch.zeros(len(images), len(next(iter(rows.values()))))
    for index, key in keys.items():
        table[index] = rows[key]
    return FrozenFeatures(table.to(model.device), torch.tensor(usable, device=model.device))


@torch.no_grad()
def _encode(model: Model, pixels: Tensor, recipe: Recipe) -> Tensor:
    model.module.eval()
    precision = AUTOCAST.get(recipe.precision)
    with torch.autocast(model.device.type, precision, enabled=precision is not None):
        return model.image_tower_features(pixels).float()


def _tower_key(model: Model, recipe: Recipe) -> FeatureKey:
    """Identifies an image tower's features: by its weights, and by what it makes of fixed images.

    The latter covers what is no parameter: preprocessing, pooling, statistics of batch normalization, libraries. It is
    taken in tenths of its largest value: some CPUs round by where weights lie in memory, and reloading moves them.
    """
    own = find_towers(model)["image"].parameters - model.projection_parameters("image")
    sha, weights = hashlib.sha256(), dict(model.module.named_parameters())
    for name in sorted(own):
        sha.update(name.encode() + weights[name].detach().float().cpu().contiguous().numpy().tobytes())
    pixels = torch.stack([model.preprocess(probes.noise_image(*size)) for size in probes.NOISE_SIZES])
    features = _encode(model, pixels.to(model.device), recipe).cpu()
    tenths = torch.round(10 * features / features.abs().max().clamp(min=1e-12))
    sha.update(tenths.to(torch.int8).numpy().tobytes())
    parts = ["image tower", sha.hexdigest(), recipe.precision, model.device.type, torch.__version__]
    return FeatureKey(digest(parts)[:32], f"{model.id} (image encoder)", recipe.precision, model.device.type)
