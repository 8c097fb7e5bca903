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
    (another caption of the same image, an invalid negative) is left out.

    Raises:
        ConfigError: There is no bias.
    """
    if inputs.bias is None:
        raise ConfigError("sigmoid: no bias: pass that of the model")
    images, texts = logits.with_all_negatives(inputs)
    bias, count = logits.wide(inputs.bias), len(images)
    right = torch.eye(*images.shape, dtype=torch.bool, device=images.device)
    pairs = logsigmoid(torch.where(right, images + bias, -images - bias)).sum()  # log σ(∞) = 0: masked
    return -(pairs + logsigmoid(-texts[:, count:] - bias).sum()) / count
