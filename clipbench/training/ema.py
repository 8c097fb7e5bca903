"""An exponential moving average of the trained weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from clipbench.training.sharding import by_kind


class WeightAverage:
    """After each step ``average = decay · average + (1 - decay) · weights``; it starts as the weights.

    Only trained parameters are averaged: frozen ones stay what they are, and buffers are the last step's. Of LoRA, the
    adapters' factors are averaged.

    Args:
        module: The network, its parameters frozen and adapted as wanted.
        decay: In [0, 1); None averages nothing.

    Attributes:
        weights: The average, by the parameters' names; empty without a decay.
    """

    def __init__(self, module: nn.Module, decay: float | None) -> None:
        self._trained = list(trained_weights(module).values()) if decay is not None else []
        names = trained_weights(module) if decay is not None else {}
        self.weights: dict[str, Tensor] = {name: weight.detach().clone() for name, weight in names.items()}
        self._update = get_ema_multi_avg_fn(decay or 0.0)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of a step."""
        if self._trained:
            for averages, weights in zip(by_kind(self.weights.values()), by_kind(self._trained), strict=True):
                self._update(averages, weights, 0)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the network the average during the block; afterwards its weights are what they were, bit for bit."""
        before = [weight.detach().clone() for weight in self._trained]
        try:
            _copy(list(self.weights.values()), self._trained)
            yield
        finally:
            _copy(before, self._trained)


def trained_weights(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name."""
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


@torch.no_grad()
def _copy(sources: list[Tensor], targets: list[nn.Parameter]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)  # in place: fingerprints depend on the tensor's version counter
