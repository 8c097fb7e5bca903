"""A model that only preprocesses, and images to go with it: what a pixel cache needs, in microseconds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from clipbench.training.image_cache.build import build_image_cache
from clipbench.types import ImageRef

CHUNK = 256  # images
COUNT = 2 * CHUNK + 88
ROW = 3 * 8 * 8  # bytes
MEAN, STD = np.array([0.5, 0.4, 0.3], np.float32), np.array([0.2, 0.25, 0.3], np.float32)


def plain_model(side=8, curve=None):
    """Resizes, scales to 0…1, then normalises; ``curve`` is applied to the values before the mean is taken off."""

    def preprocess(image):
        values = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)).astype(np.float32) / 255
        values = curve(values) if curve else values
        return torch.from_numpy(np.ascontiguousarray(((values - MEAN) / STD).transpose(2, 0, 1)))

    return SimpleNamespace(id="plain", preprocess=preprocess)


def noise(number):
    """A noisy picture of odd proportions, another one for each number."""
    dice = np.random.default_rng(number)
    width, height = (int(n) for n in dice.integers(5, 60, 2))
    return Image.fromarray(dice.integers(0, 256, (height, width, 3), dtype=np.uint8))


def references(count, opened=None, picture=noise):
    """Images ``0`` to ``count - 1``; the number of each that is opened is added to ``opened``."""

    def open_one(number):
        if opened is not None:
            opened.append(number)
        return picture(number)

    return [ImageRef(str(number), lambda number=number: open_one(number)) for number in range(count)]


def same_bits(left, right):
    return left.shape == right.shape and torch.equal(left.view(torch.int32), right.view(torch.int32))


def everything(cache):
    return cache.batch(np.arange(len(cache)))


def build(folder, opened=None, notes=None, *, count=COUNT, model=None, **options):
    refs = options.pop("refs", None) or references(count, opened)
    options = {"workers": 2, **({} if notes is None else {"on_note": notes.append}), **options}
    return build_image_cache(model or plain_model(), refs, "data", folder, **options)
