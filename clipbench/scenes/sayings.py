"""Teaching a text tower what sentences say, before it has to find pictures.

The counterpart of `layout.py`: which things a sentence names, which colors, sizes and places it gives them. It is read
by linear maps from the tower's pooled output, *before* its projection into the space shared with pictures. So the
tower knows what is said, as large text towers do, but nothing tells it how that looks: the projection learns that
from pictures and captions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from clipbench.scenes.claims import SIZE_WORDS, Claim
from clipbench.scenes.layout import LayoutHeads
from clipbench.scenes.scene import COLORS, NAMES

# A place word as (which measure, its sign) for the thing that it places; the other thing gets the opposite.
_AXIS: Final[dict[str, tuple[int, int]]] = {
    "left": (0, -1),
    "right": (0, 1),
    "above": (1, -1),
    "over": (1, -1),
    "below": (1, 1),
    "under": (1, 1),
    "behind": (3, -1),
    "background": (3, -1),
    "back": (3, -1),
    "in front of": (3, 1),
    "foreground": (3, 1),
    "front": (3, 1),
}
_SIZE_MEASURE: Final = 2


@dataclass(frozen=True, slots=True)
class Sayings:
    """What N sentences say, as arrays; K names.

    Attributes:
        named: (N, K) whether a name occurs.
        color: (N, K) number of the color said, -1 where none is.
        measures: (N, K, 4) x, y, size and depth as far as said: -1, 1, or 0 where nothing is.
    """

    named: NDArray[np.bool_]
    color: NDArray[np.int64]
    measures: NDArray[np.float32]

    def rows(self, chosen: NDArray[np.int64]) -> Sayings:
        """Those of some sentences."""
        return Sayings(self.named[chosen], self.color[chosen], self.measures[chosen])


def sayings_of(claims: Sequence[Claim]) -> Sayings:
    """What claims say, as arrays."""
    named = np.zeros((len(claims), len(NAMES)), dtype=np.bool_)
    color = np.full((len(claims), len(NAMES)), -1, dtype=np.int64)
    measures = np.zeros((len(claims), len(NAMES), 4), dtype=np.float32)
    name_number = {name: number for number, name in enumerate(NAMES)}
    color_number = {name: number for number, name in enumerate(COLORS)}
    for row, claim in enumerate(claims):
        numbers = [name_number[mention.name] for mention in claim.mentions]
        named[row, numbers] = True
        for number, mention in zip(numbers, claim.mentions, strict=True):
            if mention.color is not None:
                color[row, number] = color_number[mention.color]
            if mention.size is not None:
                measures[row, number, _SIZE_MEASURE] = 1 if mention.size in SIZE_WORDS["large"] else -1
        if claim.place is not None:
            axis, sign = _AXIS[claim.place]
            measures[row, numbers[0], axis] = sign
            if claim.relative:
                measures[row, numbers[1], axis] = -sign
    return Sayings(named, color, measures)


def sayings_loss(heads: LayoutHeads, pooled: Tensor, target: Sayings) -> Tensor:
    """How badly it is read from the text tower's pooled output (B, W) what the sentences say."""
    named, color = torch.from_numpy(target.named), torch.from_numpy(target.color)
    loss = 8 * functional.binary_cross_entropy_with_logits(heads.presence(pooled), named.float())
    rows, names = named.nonzero(as_tuple=True)
    found_color, found_measures = heads.of_things(pooled, rows, names)
    said = color[named] >= 0
    if said.any():
        loss = loss + functional.cross_entropy(found_color[said], color[named][said])
    return loss + 4 * functional.mse_loss(found_measures, torch.from_numpy(target.measures)[named])
