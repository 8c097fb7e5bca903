"""How often a batch's pairs already win: what the log says besides the loss."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from clipbench.training.losses import HardNegatives, LossInputs

ACCURACIES: Final = ("i2t_acc", "t2i_acc", "hard_negative_acc", "negative_image_acc")
"""The names of what ``in_batch_accuracies`` gives, in order."""


@torch.no_grad()
def in_batch_accuracies(inputs: LossInputs) -> Tensor:
    """Shares of right answers of a batch, computed on its device without waiting for it.

    Right is what is more similar than all others: a tie is not a win. Other pairs of the same image do not compete
    where the loss masks them.

    Returns:
        (4,) float32: of images that prefer their caption to all others of the batch, of captions that prefer their
        image, of images that prefer their caption to its own hard negatives, of captions that prefer their image to its
        own negative images. NaN where no pair has any.
    """
    similarities = inputs.images.float() @ inputs.texts.float().T
    itself = torch.eye(len(similarities), dtype=torch.bool, device=similarities.device)
    excluded = itself if inputs.same_image is None else itself | inputs.same_image
    own, others = similarities.diagonal(), similarities.masked_fill(excluded, -torch.inf)
    return torch.stack(
        [
            (own > others.amax(1)).float().mean(),
            (own > others.amax(0)).float().mean(),
            _against(own, inputs.images, inputs.negatives),
            _against(own, inputs.texts, inputs.negative_images),
        ]
    )


def _against(own: Tensor, anchors: Tensor, negatives: HardNegatives | None) -> Tensor:
    """The share of pairs with a hard negative whose own similarity is above those of all of its hard negatives."""
    if negatives is None or negatives.features.shape[1] == 0:
        return own.new_full((), torch.nan)
    rivals = torch.einsum("nd,nkd->nk", anchors.float(), negatives.features.float())
    valid = torch.ones_like(rivals, dtype=torch.bool) if negatives.valid is None else negatives.valid
    right = own > rivals.masked_fill(~valid, -torch.inf).amax(1)
    with_any = valid.any(1)
    return (right & with_any).sum() / with_any.sum()  # 0 / 0 is NaN
