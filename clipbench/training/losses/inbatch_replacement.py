"""The paper's loss: hard negatives take the place of random in-batch negatives."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from clipbench.errors import ConfigError
from clipbench.training.losses import logits
from clipbench.training.losses.inputs import HardNegatives, LossInputs
from clipbench.training.recipe import NegativesIn


def inbatch_replacement(inputs: LossInputs, *, negatives_in: NegativesIn = "both") -> Tensor:
    """InfoNCE in which hard negatives replace k off-diagonal entries of each row of S.

    Source: Rösch et al., arXiv 2403.02875, §3. R is S with R[i, positions[i, m]] = h_im where valid; the loss is the
    mean of the CE of R's rows and the CE of the columns of R (``both``) or of S (``image_to_text``): the paper does
    not say which. Without hard negatives it is the paper's classical fine-tuning.

    Negative images likewise replace m off-diagonal entries of each column: R[positions[i, m], i] = g_im. Where a
    caption and an image claim the same entry, the rows see the caption and the columns the image, so that none is
    lost. With ``image_to_text`` each half of the loss sees only its own: rows the captions, columns the images.

    A replaced entry is a hard negative also where S has another caption of the same image: it is never masked.

    Raises:
        ConfigError: An unknown ``negatives_in``, or hard negatives without positions. That the positions are distinct
            is not checked: reading them would stall the device.
    """
    if negatives_in not in get_args(NegativesIn):
        raise ConfigError(f"negatives_in {negatives_in!r}: give {' or '.join(get_args(NegativesIn))}")
    both = negatives_in == "both"
    clean = logits.in_batch(inputs)
    rows = _replaced(clean, inputs.images, inputs.negatives, inputs.scale)
    columns = rows if both else clean
    if inputs.negative_images is not None:
        columns = _replaced(columns.T, inputs.texts, inputs.negative_images, inputs.scale).T
        if both:
            images_first = _replaced(clean.T, inputs.texts, inputs.negative_images, inputs.scale).T
            rows = _replaced(images_first, inputs.images, inputs.negatives, inputs.scale)
    return logits.info_nce(rows, columns, inputs.weights)


def _replaced(similarities: Tensor, anchors: Tensor, negatives: HardNegatives | None, scale: Tensor) -> Tensor:
    """(N, N): each anchor's row with its own hard negatives in their positions."""
    if negatives is None:
        return similarities
    if negatives.positions is None:
        raise ConfigError("inbatch_replacement: hard negatives without positions: pass (N, k) places in their row")
    own, valid = logits.own(anchors, negatives, scale)
    kept = similarities.gather(1, negatives.positions)
    return similarities.scatter(1, negatives.positions, torch.where(valid, own, kept))
