"""Losses with a second term: each image must prefer its caption to that caption's own hard negatives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from clipbench.training.losses import logits
from clipbench.training.losses.inputs import LossInputs


def svlc(inputs: LossInputs, *, weight: float = 1.0) -> Tensor:
    """SVLC's negatives loss: InfoNCE, and each image must prefer its caption to that caption's own hard negatives.

    Source: Doveh et al., arXiv 2211.11733. InfoNCE(S) + weight · mean_i CE of [S_ii | h_i], the mean over images
    with a valid hard negative, the weight 1: both as in the authors' training code. There the hard negatives may
    also be columns of the contrastive part; here they are not.

    Negative images add weight · mean_i CE of [S_ii | g_i], the mean over captions with a valid one.
    """
    return fsc(inputs, weight=weight, gamma=0.0, smoothing=0.0)


def fsc(inputs: LossInputs, *, weight: float = 0.5, gamma: float = 2.0, smoothing: float = 0.02) -> Tensor:
    """FSC-CLIP's global term: as `svlc`, but easy candidates count less and the labels are smoothed.

    Source: Oh et al., EMNLP 2024, arXiv 2410.05210; its local, token-level term is not here. With p_i the softmax
    over the caption and its K_i valid hard negatives, y_i0 = 1 − β + β/(1 + K_i) and y_im = β/(1 + K_i), it is
    InfoNCE(S) + weight · mean_i Σ_m −y_im · (1 − p_im)^γ · log p_im, the mean over images with K_i > 0.
    The defaults are the authors' for COCO. γ is 0 or at least 1: in between, the gradient has a pole at p = 1.

    Negative images add the same term for captions, over the image and its valid negative images.
    """
    clean = logits.in_batch(inputs)
    loss, right = logits.info_nce(clean, clean, inputs.weights), clean.diagonal()
    for anchors, negatives in ((inputs.images, inputs.negatives), (inputs.texts, inputs.negative_images)):
        if negatives is not None:
            own, valid = logits.own(anchors, negatives, inputs.scale)
            focal = logits.weighted(_focal(right, own, valid, gamma, smoothing), inputs.weights)
            # A pair without a valid hard negative adds exactly 0 to the sum.
            loss = loss + weight * focal.sum() / valid.any(dim=1).sum().clamp(min=1)
    return loss


def _focal(right: Tensor, own: Tensor, valid: Tensor, gamma: float, smoothing: float) -> Tensor:
    """(N, 1 + k) terms of the focal, label-smoothed cross-entropy."""
    candidate = torch.cat([valid.new_ones(len(valid), 1), valid], dim=1)
    scores = torch.cat([right.unsqueeze(1), own], dim=1)
    log_p = log_softmax(scores.masked_fill(~candidate, -torch.inf), dim=1)
    log_p = log_p.masked_fill(~candidate, 0.0)  # its label mass is 0, and 0 · −∞ would be NaN
    targets = smoothing * candidate.to(log_p.dtype) / candidate.sum(dim=1, keepdim=True)
    targets[:, 0] += 1 - smoothing
    return -targets * (-torch.expm1(log_p)) ** gamma * log_p
