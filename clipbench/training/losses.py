"""Contrastive losses with hard negatives: captions in which one keyword was replaced.

All are pure functions with one signature, `LossFunction`. Below, s is the scale, S = s·I·Tᵀ (N, N),
h_im = s·⟨I_i, T_im^hn⟩ (N, k), and InfoNCE(S) is the mean of the cross-entropies (CE) of S's rows (image→text) and
of its columns (text→image), the diagonal being right. Without hard negatives each loss is InfoNCE(S). Memory: O(N²k).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, get_args

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from clipbench.errors import ConfigError
from clipbench.training.recipe import LOSS_ALIASES, NegativesIn
from clipbench.utils.registry import close_matches

MAX_LOGIT_SCALE = 100.0
"""Upper bound of the scale in training, a temperature of 0.01 (Radford et al. 2021, arXiv 2103.00020, §2.5)."""


class LossFunction(Protocol):
    """What the losses take and return."""

    def __call__(
        self,
        images: Tensor,
        texts: Tensor,
        negatives: Tensor | None,
        negative_positions: Tensor | None,
        valid: Tensor | None,
        scale: Tensor,
        negatives_in: NegativesIn = "both",
    ) -> Tensor:
        """Return the loss of one batch: a scalar, differentiable in images, texts, negatives and scale.

        Half-precision features are raised to float32, under autocast too; float64 stays float64.

        Args:
            images: (N, D) unit features.
            texts: (N, D) unit features, row i the caption of image i.
            negatives: (N, k, D) unit features of each caption's hard negatives, or None.
            negative_positions: (N, k) int64, for `inbatch_replacement` only: the columns of row i that its hard
                negatives take.
            valid: (N, k) bool: False where a caption has no such hard negative, whatever ``negatives`` holds there;
                None: all are valid.
            scale: () factor of the cosine similarity, already exponentiated, at most `MAX_LOGIT_SCALE`.
            negatives_in: For `inbatch_replacement` only: whether ``both`` halves of the loss see the hard negatives,
                or only ``image_to_text``.
        """


def inbatch_replacement(
    images: Tensor,
    texts: Tensor,
    negatives: Tensor | None,
    negative_positions: Tensor | None,
    valid: Tensor | None,
    scale: Tensor,
    negatives_in: NegativesIn = "both",
) -> Tensor:
    """InfoNCE in which hard negatives replace k off-diagonal entries of each row of S.

    Source: Rösch et al., arXiv 2403.02875, §3. R is S with R[i, negative_positions[i, m]] = h_im where valid; the loss
    is the mean of the CE of R's rows and the CE of the columns of R (``both``) or of S (``image_to_text``): the paper
    does not say which. Without hard negatives it is the paper's classical fine-tuning.

    The positions of a row must differ from each other and from the row's own index, also where ``valid`` is False, so
    k < N. This is not checked: reading them would stall the device.

    Raises:
        ConfigError: An unknown ``negatives_in``, or hard negatives without positions.
    """
    if negatives_in not in get_args(NegativesIn):
        raise ConfigError(f"negatives_in {negatives_in!r}: give {' or '.join(get_args(NegativesIn))}")
    clean = _similarities(images, texts, scale)
    if negatives is None:
        return _info_nce(clean, clean)
    if negative_positions is None:
        raise ConfigError("inbatch_replacement: hard negatives without negative_positions: pass (N, k) columns")
    negatives, valid = _masked(negatives, valid)
    own = _own_similarities(images, negatives, scale)  # (N, k)
    replaced = clean.scatter(1, negative_positions, torch.where(valid, own, clean.gather(1, negative_positions)))
    return _info_nce(replaced, replaced if negatives_in == "both" else clean)


def negclip(
    images: Tensor,
    texts: Tensor,
    negatives: Tensor | None,
    negative_positions: Tensor | None,
    valid: Tensor | None,
    scale: Tensor,
    negatives_in: NegativesIn = "both",
) -> Tensor:
    """NegCLIP: every image also competes against the hard negatives of all captions of the batch.

    Source: Yuksekgonul et al., arXiv 2210.01936. The mean of the CE of the rows of [S | s·I·T^hnᵀ] (N, N + N·k)
    and the CE of the columns of S, as no image belongs to a hard negative. An invalid one is a column of −∞.
    """
    clean = _similarities(images, texts, scale)
    if negatives is None:
        return _info_nce(clean, clean)
    negatives, valid = _masked(negatives, valid)
    further = _similarities(images, negatives.flatten(0, 1), scale).masked_fill(~valid.flatten(), -torch.inf)
    return _info_nce(torch.cat([clean, further], dim=1), clean)


def svlc(
    images: Tensor,
    texts: Tensor,
    negatives: Tensor | None,
    negative_positions: Tensor | None,
    valid: Tensor | None,
    scale: Tensor,
    negatives_in: NegativesIn = "both",
    *,
    weight: float = 1.0,
) -> Tensor:
    """SVLC's negatives loss: InfoNCE, and each image must prefer its caption to that caption's own hard negatives.

    Source: Doveh et al., arXiv 2211.11733. InfoNCE(S) + weight · mean_i CE of [S_ii | h_i], the mean over images
    with a valid hard negative, the weight 1: both as in the authors' training code. There the hard negatives may
    also be columns of the contrastive part; here they are not.
    """
    return fsc(
        images,
        texts,
        negatives,
        negative_positions,
        valid,
        scale,
        negatives_in,
        weight=weight,
        gamma=0.0,
        smoothing=0.0,
    )


def fsc(
    images: Tensor,
    texts: Tensor,
    negatives: Tensor | None,
    negative_positions: Tensor | None,
    valid: Tensor | None,
    scale: Tensor,
    negatives_in: NegativesIn = "both",
    *,
    weight: float = 0.5,
    gamma: float = 2.0,
    smoothing: float = 0.02,
) -> Tensor:
    """FSC-CLIP's global term: as `svlc`, but easy candidates count less and the labels are smoothed.

    Source: Oh et al., EMNLP 2024, arXiv 2410.05210; its local, token-level term is not here. With p_i the softmax
    over the caption and its K_i valid hard negatives, y_i0 = 1 − β + β/(1 + K_i) and y_im = β/(1 + K_i), it is
    InfoNCE(S) + weight · mean_i Σ_m −y_im · (1 − p_im)^γ · log p_im, the mean over images with K_i > 0.
    The defaults are the authors' for COCO. γ is 0 or at least 1: in between, the gradient has a pole at p = 1.
    """
    clean = _similarities(images, texts, scale)
    contrastive = _info_nce(clean, clean)
    if negatives is None:
        return contrastive
    negatives, valid = _masked(negatives, valid)
    candidate = torch.cat([valid.new_ones(len(valid), 1), valid], dim=1)  # (N, 1 + k)
    scores = torch.cat([clean.diagonal().unsqueeze(1), _own_similarities(images, negatives, scale)], dim=1)
    log_p = log_softmax(scores.masked_fill(~candidate, -torch.inf), dim=1)
    log_p = log_p.masked_fill(~candidate, 0.0)  # its label mass is 0, and 0 · −∞ would be NaN
    targets = smoothing * candidate.to(log_p.dtype) / candidate.sum(dim=1, keepdim=True)
    targets[:, 0] += 1 - smoothing
    focal = -targets * (-torch.expm1(log_p)) ** gamma * log_p
    # An image without a valid hard negative adds exactly 0 to the sum.
    return contrastive + weight * focal.sum() / valid.any(dim=1).sum().clamp(min=1)


def _wide(features: Tensor) -> Tensor:
    return features.float() if features.dtype in (torch.float16, torch.bfloat16) else features


def _similarities(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """s·I·Tᵀ (N, M)."""
    # Autocast would take the product in half precision however wide its factors are.
    with torch.autocast(images.device.type, enabled=False):
        return _wide(scale) * (_wide(images) @ _wide(texts).T)


def _own_similarities(images: Tensor, negatives: Tensor, scale: Tensor) -> Tensor:
    """Similarities h (N, k) of each image with the hard negatives of its own caption."""
    with torch.autocast(images.device.type, enabled=False):
        return _wide(scale) * torch.einsum("nd,nkd->nk", _wide(images), _wide(negatives))


def _masked(negatives: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """The negatives with the invalid ones blanked, and the mask (N, k)."""
    if valid is None:
        valid = torch.ones(negatives.shape[:2], dtype=torch.bool, device=negatives.device)
    # A NaN in an unused place would come back in the gradient as 0 · NaN.
    return negatives.masked_fill(~valid.unsqueeze(-1), 0.0), valid


def _info_nce(rows: Tensor, columns: Tensor) -> Tensor:
    """Mean of the cross-entropies of the rows (N, ≥ N) and of the columns (N, N), the diagonal being right."""
    labels = torch.arange(len(rows), device=rows.device)
    return (cross_entropy(rows, labels) + cross_entropy(columns.T, labels)) / 2


LOSSES: Mapping[str, LossFunction] = MappingProxyType(
    {"inbatch_replacement": inbatch_replacement, "negclip": negclip, "svlc": svlc, "fsc": fsc}
)
"""The losses by name."""


def find_loss(name: str) -> LossFunction:
    """Look a loss up, by its name or a former one.

    Raises:
        ConfigError: The loss is unknown.
    """
    name = LOSS_ALIASES.get(name, name)
    if name not in LOSSES:
        raise ConfigError(f"loss {name!r}{close_matches(name, LOSSES)}: give one of {', '.join(LOSSES)}")
    return LOSSES[name]
