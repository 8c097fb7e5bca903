"""Image batches of a training: pixels, or features that a frozen tower computes once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from clipbench.errors import DataError
from clipbench.evaluation.options import Progress
from clipbench.models import Model
from clipbench.training.gradient_cache import AUTOCAST
from clipbench.training.recipe import Recipe
from clipbench.training.sampling import Ints

_FEATURE_BATCH = 256


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

    def center(self) -> Tensor:
        """Subtract the mean over all images that have features, ``(W,)``, and return it."""
        mean = self._rows[self._usable].double().mean(0).float()
        self._rows[self._usable] -= mean
        return mean

    def batch(self, indices: Ints) -> Tensor:
        """Return a row for each image, in order."""
        return self._rows[torch.from_numpy(indices).to(self._rows.device)]


@torch.no_grad()
def frozen_features(model: Model, cache: PreparedImages, recipe: Recipe, on_progress: Progress) -> FrozenFeatures:
    """Encode all images once, up to the projection: a frozen tower gives the same features in every epoch.

    Raises:
        DataError: No image can be read.
    """
    model.module.eval()
    precision = AUTOCAST.get(recipe.precision)
    usable = np.array([index for index in range(len(cache)) if index not in cache.broken], dtype=np.int64)
    rows: Tensor | None = None
    for start in range(0, len(usable), _FEATURE_BATCH):
        part = usable[start : start + _FEATURE_BATCH]
        with torch.autocast(model.device.type, precision, enabled=precision is not None):
            features = model.image_tower_features(cache.batch(part, model.device)).float()
        if rows is None:
            rows = features.new_zeros(len(cache), features.shape[1])
        rows[torch.from_numpy(part).to(rows.device)] = features
        on_progress("image features", start + len(part), len(usable))
    if rows is None:
        raise DataError("no image can be read")
    return FrozenFeatures(rows, torch.from_numpy(usable).to(rows.device))
