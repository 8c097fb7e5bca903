"""An oracle model whose embeddings may be cached: it has weights, and a fingerprint."""

from __future__ import annotations

import torch

from tests.oracles import OracleModel, unit


class Vouched(OracleModel):
    """Random directions that depend on number, text and ``weight`` alone.

    Args:
        weight: The only weight.
        fingerprint: What the model says of itself; None for the truth.
        most: A batch larger than this is out of memory.
    """

    def __init__(self, weight: float = 1.0, fingerprint: str | None = None, most: int = 10**9) -> None:
        super().__init__(lambda number: unit(f"image {number} {weight}"), lambda words: unit(f"{words} {weight}"), most)
        self.weight, self.said = weight, fingerprint

    @property
    def fingerprint(self) -> str:
        return self.said if self.said is not None else self.weight.hex().encode().hex().ljust(32, "0")

    @property
    def module(self) -> torch.nn.Module:
        layer = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(layer.weight, self.weight)
        torch.nn.init.zeros_(layer.bias)
        return layer

    @property
    def encoded(self) -> tuple[int, int]:
        """Images and texts that went through the towers."""
        return sum(self.image_batches), sum(self.text_batches)
