"""What a loss takes: the features of a batch, its hard negatives, and which pairs are no negatives of each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class HardNegatives:
    """The hard negatives of each pair of a batch: captions for its image, or images for its caption.

    Attributes:
        features: (N, k, D) unit features.
        positions: (N, k) int64, which `inbatch_replacement` needs: where the hard negatives of pair i stand in the
            similarities S. Captions take these columns of row i; images take these rows of column i. Those of a pair
            differ from each other and from i, also where ``valid`` is False, so k < N.
        valid: (N, k) bool: False where a pair has no such hard negative, whatever ``features`` holds there; None: all
            are valid.
        same_image: (N, k, N) bool, for images only: True where the hard negative is the image of another pair, which
            it cannot distract: the losses in which hard negatives meet all pairs leave it out there. None: nowhere.
    """

    features: Tensor
    positions: Tensor | None = None
    valid: Tensor | None = None
    same_image: Tensor | None = None


@dataclass(frozen=True, slots=True)
class LossInputs:
    """A batch of N pairs, as a loss takes it.

    Attributes:
        images: (N, D) unit features.
        texts: (N, D) unit features, row i the caption of image i.
        scale: () or (1,) factor of the cosine similarity, already exponentiated.
        negatives: Each caption's hard negatives, which distract its image; None: there are none.
        negative_images: Each image's hard negatives, which distract its caption; None: there are none.
        same_image: (N, N) bool: True where caption j belongs to image i too (the diagonal does not matter): no
            negative in either direction, so −∞ there. None: all other captions are negatives.
        weights: (N,) how much each pair counts, on average about 1: each term of a mean over pairs is multiplied by
            its pair's weight. None: all count the same.
        bias: () or (1,), added to the scaled similarities by `sigmoid`, which needs it; the others have no use for it.
    """

    images: Tensor
    texts: Tensor
    scale: Tensor
    negatives: HardNegatives | None = None
    negative_images: HardNegatives | None = None
    same_image: Tensor | None = None
    bias: Tensor | None = None
    weights: Tensor | None = None


class LossFunction(Protocol):
    """A loss; hyperparameters beyond the batch are keywords with a default, see ``clipbench.training.loss_args``."""

    def __call__(self, inputs: LossInputs) -> Tensor:
        """Return the loss of one batch: a scalar, differentiable in all features, the scale and the bias.

        Half-precision features are raised to float32, under autocast too; float64 stays float64.
        """
