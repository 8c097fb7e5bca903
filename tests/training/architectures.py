"""Every tiny architecture of the suite as one list, and a step of training on it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.nn.functional import normalize

from clipbench.models import load_model
from tests.models.builders import FAMILIES, OPEN_CLIP_KINDS, build_open_clip

torch.set_num_threads(1)

# The old CLIP differs from the new one only in where texts are pooled.
_FAMILIES = tuple(name for name in FAMILIES if name != "clip-legacy")
ARCHITECTURES = (*_FAMILIES, *(f"open_clip {kind}" for kind in OPEN_CLIP_KINDS))
CONVOLUTIONAL = ("align", "open_clip resnet")  # their image towers
TEXTS = ["a cat", "the red bird in front of a house", "two dogs"]
_LOADED: dict[str, Any] = {}


def load(name: str, root: Path) -> Any:
    """A fresh model of an architecture; ``root`` is where it is built when first asked for."""
    if name not in _LOADED:
        library, _, kind = name.partition(" ")
        builder = FAMILIES.get(name)
        directory = builder(root / name) if builder else build_open_clip(root / library / kind, kind)
        _LOADED[name] = load_model(str(directory), dtype="float32", device="cpu")
    loaded = _LOADED[name]
    return copy.deepcopy(loaded, {id(loaded.tokenizer): loaded.tokenizer})  # whose copying takes longer than all else


def pixels_for(model: Any) -> torch.Tensor:
    """Three images, preprocessed."""
    gradient = Image.linear_gradient("L").resize((64, 48))
    pictures = [Image.merge("RGB", (gradient, gradient.rotate(angle), gradient)) for angle in (0, 90, 140)]
    return torch.stack([model.preprocess(picture) for picture in pictures])


def features(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of three images and three texts."""
    return model.image_features(pixels_for(model)), model.text_features(model.tokenize(TEXTS))


def backward(model: Any) -> None:
    """Gradients of a weighted sum of the similarities: weights are all different, so that no gradient is zero."""
    images, texts = features(model)
    similarities = model.logit_scale * normalize(images, dim=-1) @ normalize(texts, dim=-1).T
    (similarities * torch.tensor([[1.0, 0.3, -0.7], [0.2, -0.9, 0.4], [-0.5, 0.8, 0.6]])).sum().backward()


def step(model: Any, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    backward(model)
    optimizer.step()


def copied_state(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.module.state_dict().items()}


def same_state(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def trained_names(model: Any) -> set[str]:
    return {name for name, parameter in model.module.named_parameters() if parameter.requires_grad}
