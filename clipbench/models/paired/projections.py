"""Layers after pooling: projections into the shared space, and what sentence-transformers put there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clipbench.errors import ConfigError, ModelError
from clipbench.utils.registry import close_matches

PROJECTIONS = ("linear", "linear_bias", "mlp", "none")
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Identity": lambda features: features,
    "Tanh": torch.tanh,
    "ReLU": functional.relu,
    "GELU": functional.gelu,
    "SiLU": functional.silu,
    "Sigmoid": torch.sigmoid,
}


def make_projection(kind: str, width: int, dim: int) -> nn.Module:
    """Make a projection with random weights.

    Args:
        kind: ``linear`` (a matrix, as in CLIP), ``linear_bias``, ``mlp`` (one hidden layer with GELU, of the mean of
            both widths), or ``none``: the pooled output is the feature.
        width: Of the pooled output.
        dim: Of the shared space.

    Raises:
        ConfigError: The kind is unknown, or ``none`` for an encoder of another width than the shared space.
    """
    if kind not in PROJECTIONS:
        raise ConfigError(f"projection {kind!r}{close_matches(kind, PROJECTIONS)}: give {', '.join(PROJECTIONS)}")
    if kind == "none":
        if width != dim:
            raise ConfigError(
                f"projection none: the encoder's output has {width} dimensions and projection_dim is {dim}: "
                f"set projection_dim to {width}"
            )
        return nn.Identity()
    if kind == "mlp":
        hidden = (width + dim) // 2
        return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, dim))
    return nn.Linear(width, dim, bias=kind == "linear_bias")


class Normalize(nn.Module):
    """Scale to unit length."""

    def forward(self, features: Tensor) -> Tensor:
        return functional.normalize(features, dim=-1)


class Dense(nn.Linear):
    """A linear layer with an activation function."""

    def __init__(self, in_features: int, out_features: int, bias: bool, activation: str) -> None:
        super().__init__(in_features, out_features, bias=bias)
        self._activation = activation

    def forward(self, input: Tensor) -> Tensor:
        return _ACTIVATIONS[self._activation](super().forward(input))


def make_layers(layers: Sequence[Mapping[str, Any]]) -> nn.Sequential:
    """Make the layers that follow the pooling in a sentence-transformers model, without their weights.

    Args:
        layers: Each with ``type`` (``Dense``, ``LayerNorm`` or ``Normalize``) and its settings.

    Raises:
        ModelError: A layer or an activation function is of a kind that is not known.
    """
    return nn.Sequential(*(_layer(layer) for layer in layers))


def _layer(layer: Mapping[str, Any]) -> nn.Module:
    kind = layer["type"]
    if kind == "Normalize":
        return Normalize()
    if kind == "LayerNorm":
        return nn.LayerNorm(int(layer["dimension"]))
    if kind != "Dense":
        raise ModelError(
            f"a layer {kind} of sentence-transformers is not supported: Dense, LayerNorm and Normalize are"
        )
    activation = str(layer["activation"])
    if activation not in _ACTIVATIONS:
        raise ModelError(f"activation function {activation} is not supported: {', '.join(_ACTIVATIONS)} are")
    return Dense(int(layer["in_features"]), int(layer["out_features"]), bool(layer["bias"]), activation)
