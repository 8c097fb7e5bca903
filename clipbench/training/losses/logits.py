"""Similarities that losses are made of, with −∞ where something is no negative: a 0 would still be a competitor."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from clipbench.training.losses.inputs import HardNegatives, LossInputs


def in_batch(inputs: LossInputs) -> Tensor:
    """S = s·I·Tᵀ (N, N): each image with each caption; −∞ for another caption of the same image."""
    similarities = _similarities(inputs.images, inputs.texts, inputs.scale)
    if inputs.same_image is None:
        return similarities
    others = ~torch.eye(len(similarities), dtype=torch.bool, device=similarities.device)
    return similarities.masked_fill(inputs.same_image & others, -torch.inf)


def with_all_negatives(inputs: LossInputs) -> tuple[Tensor, Tensor]:
    """S with the hard negatives of all pairs beside it, from both sides.

    Returns:
        Each image with the N captions and all N·k hard negative captions, (N, N + N·k); each caption with the N
        images and all N·m hard negative images, (N, N + N·m). An invalid one is a column of −∞.
    """
    clean = in_batch(inputs)
    captions = _further(inputs.images, inputs.negatives, inputs.scale)
    images = _further(inputs.texts, inputs.negative_images, inputs.scale)
    return _beside(clean, captions), _beside(clean.T, images)


def own(anchors: Tensor, negatives: HardNegatives, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Similarities of each image (or caption) with its own hard negatives, and which are valid; both (N, k)."""
    features, valid = _masked(negatives)
    with torch.autocast(anchors.device.type, enabled=False):
        return wide(scale) * torch.einsum("nd,nkd->nk", wide(anchors), wide(features)), valid


def info_nce(rows: Tensor, columns: Tensor, weights: Tensor | None) -> Tensor:
    """Mean of the cross-entropies of the rows (N, ≥ N) and of the columns (≥ N, N), the diagonal being right."""
    labels = torch.arange(len(rows), device=rows.device)
    if weights is None:
        return (cross_entropy(rows, labels) + cross_entropy(columns.T, labels)) / 2
    terms = cross_entropy(rows, labels, reduction="none") + cross_entropy(columns.T, labels, reduction="none")
    return weighted(terms, weights).mean() / 2


def weighted(terms: Tensor, weights: Tensor | None) -> Tensor:
    """Terms (N, …) of pairs, multiplied by the pairs' weights (N,)."""
    return terms if weights is None else terms * weights.to(terms.dtype).reshape(-1, *[1] * (terms.ndim - 1))


def wide(features: Tensor) -> Tensor:
    """Half precision as float32; wider precisions as they are."""
    return features.float() if features.dtype in (torch.float16, torch.bfloat16) else features


def _similarities(left: Tensor, right: Tensor, scale: Tensor) -> Tensor:
    # Autocast would take the product in half precision however wide its factors are.
    with torch.autocast(left.device.type, enabled=False):
        return wide(scale) * (wide(left) @ wide(right).T)


def _further(anchors: Tensor, negatives: HardNegatives | None, scale: Tensor) -> Tensor | None:
    if negatives is None:
        return None
    features, valid = _masked(negatives)
    absent = ~valid.flatten()  # (N·k,)
    if negatives.same_image is not None:
        absent = absent | negatives.same_image.flatten(0, 1).T  # (N, N·k)
    return _similarities(anchors, features.flatten(0, 1), scale).masked_fill(absent, -torch.inf)


def _beside(clean: Tensor, further: Tensor | None) -> Tensor:
    return clean if further is None else torch.cat([clean, further], dim=1)


def _masked(negatives: HardNegatives) -> tuple[Tensor, Tensor]:
    """The features with the invalid ones blanked, and the mask (N, k)."""
    features, valid = negatives.features, negatives.valid
    if valid is None:
        valid = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
    # A NaN in an unused place would come back in the gradient as 0 · NaN.
    return features.masked_fill(~valid.unsqueeze(-1), 0.0), valid
