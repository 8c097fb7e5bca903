"""NegCLIP's loss: hard negatives are further candidates for the whole batch."""

from __future__ import annotations

from torch import Tensor

from clipbench.training.losses import logits
from clipbench.training.losses.inputs import LossInputs


def negclip(inputs: LossInputs) -> Tensor:
    """Every image also competes against the hard negatives of all captions of the batch.

    Source: Yuksekgonul et al., arXiv 2210.01936. The mean of the CE of the rows of [S | s·I·T^hnᵀ] (N, N + N·k)
    and the CE of the columns of S, as no image belongs to a hard negative. An invalid one is a column of −∞.

    Negative images are further rows, seen by all captions: the columns are those of [S ; s·I^hn·Tᵀ] (N + N·m, N).
    A hard negative caption stays a negative for other pairs of the same image, for which it is as wrong; a negative
    image that is the image of another pair is masked there.
    """
    images, texts = logits.with_all_negatives(inputs)
    return logits.info_nce(images, texts.T, inputs.weights)
