from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from tests.models.builders import FAMILIES, OPEN_CLIP_KINDS, build_clip, build_open_clip

torch.set_num_threads(1)  # the models are tiny: threads only wait for each other

TEXTS = ["a", "a photo of a white cat", "two brown dogs and a bird in front of a house", "the red bird"]


def assert_same_directions(left, right, tolerance=2e-6):
    """Normalized features agree; un-normalized ones have rounding errors that grow with their length."""
    assert left.shape == right.shape
    difference = (normalize(left.float(), dim=-1) - normalize(right.float(), dim=-1)).abs().max().item()
    assert difference <= tolerance


@pytest.fixture(scope="session")
def image():
    """A photograph's worth of colors, of odd proportions: the crop's margin at 32 pixels is odd."""
    gradient = Image.linear_gradient("L").resize((97, 61))
    return Image.merge("RGB", (gradient, gradient.rotate(90), gradient.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))


@pytest.fixture(scope="session")
def model_families(tmp_path_factory):
    """Checkpoints of transformers by family, built when first asked for."""
    return _lazily(tmp_path_factory.mktemp("hf"), FAMILIES)


@pytest.fixture(scope="session")
def kinds(tmp_path_factory):
    """Checkpoints of open_clip by kind, built when first asked for."""
    builders = {kind: lambda directory, kind=kind: build_open_clip(directory, kind) for kind in OPEN_CLIP_KINDS}
    return _lazily(tmp_path_factory.mktemp("open_clip"), builders)


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """The same tiny CLIP in both formats: (transformers, open_clip)."""
    root = tmp_path_factory.mktemp("pair")
    return build_clip(root / "hf"), build_clip(root / "open_clip", library="open_clip")


def _lazily(root, builders):
    built = {}

    def get(name):
        if name not in built:
            built[name] = builders[name](root / name)
        return built[name]

    return get
