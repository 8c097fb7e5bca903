"""SigLIP's loss: every image and caption is a question of its own, whether they belong together."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from clipbench.errors import ConfigError
from clipbench.training.losses import logits
from clipbench.training.losses.inputs import LossInputs


def sigmoid(inputs: LossInputs) -> Tensor:
    """Binary cross-entropy of every image with every caption, and with every hard negative.

    Source: Zhai et al. 2023, arXiv 2303.15343. With bias b and σ the logistic function,
    −1/N · (Σ_i log σ(S_ii + b) + Σ_i Σ_{j≠i} log σ(−S_ij − b)). Hard negatives are further columns labeled −1, which
    add −1/N · Σ_i Σ_jm log σ(−s·⟨I_i, T_jm^hn⟩ − b); negative images are further rows, likewise. What is masked
    (another caption of the same image, an invalid negative) is left out. With weights, an image and a caption count by
    the mean of their pairs' weights, a hard negative by that of its own pair.

    Raises:
        ConfigError: There is no bias.
    """
    if inputs.bias is None:
        raise ConfigError("sigmoid: no bias: pass that of the model")
    images, texts = logits.with_all_negatives(inputs)
    bias, count = logits.wide(inputs.bias), len(images)
    right = torch.eye(*images.shape, dtype=torch.bool, device=images.device)
    answers = torch.where(right, images + bias, -images - bias)
    if inputs.weights is None:  # log σ(∞) = 0: masked
        return -(logsigmoid(answers).sum() + logsigmoid(-texts[:, count:] - bias).sum()) / count
    own = logits.wide(inputs.weights)
    in_batch = (own[:, None] + own) / 2 * logsigmoid(answers[:, :count])
    total = in_batch.sum()
    for further in (answers[:, count:], -texts[:, count:] - bias):
        by_pair = logsigmoid(further).sum(dim=0).reshape(count, -1)  # (N, k) or (N, m)
        total = total + logits.weighted(by_pair, own).sum()
    return -total / count
