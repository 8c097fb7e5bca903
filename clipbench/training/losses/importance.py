"""Losses that weight in-batch negatives by how hard they are; all sums of exponentials stay in logarithms.

Given hard negatives are further candidates for the whole batch, as in `negclip`, each with weight 1: the weights stand
in for drawing harder negatives from a random batch, and these were not drawn at random.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clipbench.training.losses import logits
from clipbench.training.losses.inputs import LossInputs


def hn_nce(inputs: LossInputs, *, alpha: float = 1.0, beta: float = 0.25) -> Tensor:
    """HN-NCE: InfoNCE in which harder in-batch negatives weigh more.

    Source: Radenovic et al. 2023, arXiv 2301.02280. For image i with n_i in-batch negatives,
    −log(exp(S_ii) / (α·exp(S_ii) + Σ_{j≠i} w_ij·exp(S_ij))), w_ij = n_i · exp(β·S_ij) / Σ_{k≠i} exp(β·S_ik);
    for captions the same over the columns; the mean of both directions. α = 1, β = 0 is InfoNCE. Gradients flow
    through the weights. A pair without a negative gives log α.
    """
    losses = []
    for scores in logits.with_all_negatives(inputs):
        right, negatives, further = _split(scores)
        weighted, _ = _log_weighted(negatives, beta)
        denominator = _log_sum(right + math.log(alpha), weighted, further)
        losses.append(logits.weighted(denominator - right, inputs.weights).mean())
    return (losses[0] + losses[1]) / 2


def debiased(inputs: LossInputs, *, beta: float = 1.0, tau_plus: float = 0.1) -> Tensor:
    """Robinson's hard negative loss: harder in-batch negatives weigh more, and false negatives are estimated away.

    Source: Robinson et al. 2021, arXiv 2010.04592, with two towers. For image i with n_i in-batch negatives and w_ij
    as in `hn_nce`, −log(exp(S_ii) / (exp(S_ii) + N_i)), where
    N_i = max((Σ_{j≠i} w_ij·exp(S_ij) − n_i·τ⁺·exp(S_ii)) / (1 − τ⁺), n_i·exp(−s)); for captions the same over the
    columns; the mean of both directions. β = 0, τ⁺ = 0 is InfoNCE. The defaults are the authors'.

    τ⁺ is the share of negatives that are right by chance. At the scales of trained models, a pair whose weighted
    negatives are below n_i·τ⁺ times its own score is at the lower bound, and teaches nothing.
    """
    losses = []
    scale = logits.wide(inputs.scale).reshape(())
    for scores in logits.with_all_negatives(inputs):
        right, negatives, further = _split(scores)
        weighted, count = _log_weighted(negatives, beta)
        estimate = _log_debiased(weighted, right, count, tau_plus, lowest=-scale)
        losses.append(logits.weighted(_log_sum(right, estimate, further) - right, inputs.weights).mean())
    return (losses[0] + losses[1]) / 2


def _split(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The right candidate (N,), in-batch negatives (N, N) with −∞ on the diagonal, further candidates (N, ≥ 0)."""
    count = len(scores)
    diagonal = torch.eye(count, dtype=torch.bool, device=scores.device)
    return scores.diagonal(), scores[:, :count].masked_fill(diagonal, -torch.inf), scores[:, count:]


def _log_weighted(negatives: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Log Σ_j w_j·exp(s_j) (N,), −∞ for a row without a negative, and the number of negatives n (N,)."""
    present = negatives != -torch.inf
    count = present.sum(dim=1).to(negatives.dtype)
    none = count == 0
    # A row without negatives is computed with zeros, as −∞ − (−∞) would be NaN, in the gradient too.
    absent = ~present & ~none.unsqueeze(1)
    scores = negatives.masked_fill(~present, 0.0)
    hard, weights = ((factor * scores).masked_fill(absent, -torch.inf).logsumexp(dim=1) for factor in (1 + beta, beta))
    return (count.clamp(min=1).log() + hard - weights).masked_fill(none, -torch.inf), count


def _log_debiased(weighted: Tensor, right: Tensor, count: Tensor, tau_plus: float, lowest: Tensor) -> Tensor:
    """Log max((exp(weighted) − n·τ⁺·exp(right)) / (1 − τ⁺), n·exp(lowest)) (N,)."""
    if not tau_plus:
        return weighted  # a mean of exp(S_ij), so never below the bound
    none = count == 0
    floor = count.clamp(min=1).log() + lowest
    weighted = weighted.masked_fill(none, 0.0)
    removed = count.clamp(min=1).log() + math.log(tau_plus) + right - weighted  # as a share of the sum
    # Where the bound holds, the logarithm is kept away from its pole, whose gradient would be 0 · ∞.
    above = (removed < 0) & (weighted + _log_rest(removed.clamp(max=0.0)) - math.log1p(-tau_plus) > floor)
    estimate = weighted + _log_rest(removed.masked_fill(~above, -1.0)) - math.log1p(-tau_plus)
    return torch.where(above, estimate, floor).masked_fill(none, -torch.inf)


def _log_rest(removed: Tensor) -> Tensor:
    return torch.log(-torch.expm1(removed))


def _log_sum(right: Tensor, negatives: Tensor, further: Tensor) -> Tensor:
    return torch.cat([right.unsqueeze(1), negatives.unsqueeze(1), further], dim=1).logsumexp(dim=1)
