"""Trains an image tower to encode the positions and colors of objects, before it is trained on captions.

Contrastive learning with random negatives hardly needs such facts, so a small tower does not learn them, and hard
negatives then have no features to align words with. Large models learn them from hundreds of millions of pairs;
here they are taught directly, because the layout of each scene is known.

All facts are read from the *image embedding* by linear maps (`LayoutHeads`), because a dot product with a text
embedding is also a linear map: a caption cannot match what no linear map can read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from clipbench.scenes.scene import CANVAS, COLORS, NAMES, Scene

if TYPE_CHECKING:
    from transformers import CLIPModel

_NAME_NUMBER: Final = {name: number for number, name in enumerate(NAMES)}
_COLOR_NUMBER: Final = {color: number for number, color in enumerate(COLORS)}
_MEASURES: Final = 4  # x, y, size, depth
_NOTHING: Final = -1


@dataclass(frozen=True, slots=True)
class Layouts:
    """The contents of N scenes as arrays; K names, P patches per side.

    Attributes:
        color: (N, K) color index of the object of each name, -1 if the scene has no such object.
        measures: (N, K, 4) x and y from the center, in quarters of the picture, size (-1 small, 1 large), depth.
        patch: (N, P * P) name index of the object at a patch's center, -1 if there is none.
    """

    color: NDArray[np.int64]
    measures: NDArray[np.float32]
    patch: NDArray[np.int64]


def layouts_of(scenes: list[Scene], patches: int) -> Layouts:
    """The layouts of scenes for a tower with `patches` x `patches` patches."""
    color = np.full((len(scenes), len(NAMES)), _NOTHING, dtype=np.int64)
    measures = np.zeros((len(scenes), len(NAMES), _MEASURES), dtype=np.float32)
    patch = np.full((len(scenes), patches, patches), _NOTHING, dtype=np.int64)
    side = CANVAS / patches
    centers = np.arange(patches) * side + side / 2
    for row, scene in enumerate(scenes):
        for thing in scene.things:
            name = _NAME_NUMBER[thing.name]
            color[row, name] = _COLOR_NUMBER[thing.color]
            size = 1 if thing.size == "large" else -1
            measures[row, name] = (thing.x * 4 / CANVAS - 2, thing.y * 4 / CANVAS - 2, size, thing.depth)
            reach = max(thing.side, side) / 2
            across, down = np.abs(centers - thing.x) <= reach, np.abs(centers - thing.y) <= reach
            patch[row][down[:, None] & across[None, :]] = name
    return Layouts(color, measures, patch.reshape(len(scenes), -1))


class LayoutHeads(nn.Module):
    """Linear maps from an embedding of width D to a layout; discarded after pretraining."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.presence = nn.Linear(width, len(NAMES))
        self.color = nn.Linear(width, len(NAMES) * len(COLORS))
        self.measures = nn.Linear(width, len(NAMES) * _MEASURES)

    def of_things(self, embedding: Tensor, rows: Tensor, names: Tensor) -> tuple[Tensor, Tensor]:
        """Color logits (M, 9) and measures (M, 4) of M objects, each given by its embedding's row and its name."""
        color = self.color(embedding).view(len(embedding), len(NAMES), len(COLORS))
        measures = self.measures(embedding).view(len(embedding), len(NAMES), _MEASURES)
        return color[rows, names], measures[rows, names]


def layout_loss(
    model: CLIPModel, heads: LayoutHeads, pixels: Tensor, target: Layouts
) -> tuple[Tensor, dict[str, float]]:
    """The loss of reading layouts from image embeddings (B, D) and from those of single patches.

    A patch's token goes through the same projection and heads as the whole picture's and has to describe the object
    in the patch. The whole picture then only has to sum up its patches.

    Returns:
        The loss, and metrics: the share of scenes with all names correct, the shares of correct colors and sizes,
        mean squared errors of x and y, and the share of correct signs among objects in front or behind.
    """
    states = model.vision_model(pixels).last_hidden_state  # (B, 1 + P*P, W)
    embeddings = model.visual_projection(model.vision_model.post_layernorm(states))  # (B, 1 + P*P, D)
    embeddings = functional.normalize(embeddings, dim=-1) * embeddings.shape[-1] ** 0.5
    whole, patches = embeddings[:, 0], embeddings[:, 1:].flatten(0, 1)

    color, measures = torch.from_numpy(target.color), torch.from_numpy(target.measures)
    there = color >= 0
    rows, names = there.nonzero(as_tuple=True)
    presence = heads.presence(whole)
    loss = 8 * functional.binary_cross_entropy_with_logits(presence, there.float())
    found_color, found_measures = heads.of_things(whole, rows, names)
    loss = loss + _description_loss(found_color, found_measures, color[there], measures[there])

    shown = torch.from_numpy(target.patch).flatten()
    covered = (shown >= 0).nonzero().squeeze(1)
    scene = covered // target.patch.shape[1]
    loss = loss + functional.cross_entropy(_with_nothing(heads.presence(patches)), shown + 1)
    in_patch = heads.of_things(patches[covered], torch.arange(len(covered)), shown[covered])
    loss = loss + _description_loss(*in_patch, color[scene, shown[covered]], measures[scene, shown[covered]])
    read = _read_well(presence, there, found_color.argmax(-1) == color[there], found_measures, measures[there])
    return loss, read


@torch.no_grad()
def _read_well(
    presence: Tensor, there: Tensor, right_color: Tensor, measures: Tensor, true_measures: Tensor
) -> dict[str, float]:
    deep = true_measures[:, 3] != 0
    right_sign = (measures.sign() == true_measures.sign()).float()
    squares = (measures - true_measures).square().mean(0)
    read = {
        "names": ((presence > 0) == there).all(1).float().mean(),
        "color": right_color.float().mean(),
        "size": right_sign[:, 2].mean(),
        "x_error": squares[0],
        "y_error": squares[1],
        "depth": right_sign[deep, 3].mean(),
    }
    return {name: float(value) for name, value in read.items()}


def _description_loss(color: Tensor, measures: Tensor, true_color: Tensor, true_measures: Tensor) -> Tensor:
    weights = measures.new_tensor((1.0, 1.0, 1.0, 1.5))
    return (
        1.5 * functional.cross_entropy(color, true_color)
        + (functional.mse_loss(measures, true_measures, reduction="none").mean(0) * weights).sum()
    )


def _with_nothing(presence: Tensor) -> Tensor:
    """Logits over "nothing", fixed at zero, and the names, so that presence means the same in a patch and a picture."""
    return functional.pad(presence, (1, 0))
