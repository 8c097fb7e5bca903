"""Contrastive losses with hard negatives: captions in which a keyword was replaced, images that were edited.

All are pure functions of `LossInputs`. Below, s is the scale, S = s·I·Tᵀ (N, N), h_im = s·⟨I_i, T_im^hn⟩ (N, k) for
hard negative captions, g_im = s·⟨T_i, I_im^hn⟩ (N, m) for hard negative images, and InfoNCE(S) is the mean of the
cross-entropies (CE) of S's rows (image→text) and of its columns (text→image), the diagonal being right. Entries of
S where caption j belongs to image i too are −∞, if `LossInputs.same_image` says so. Memory: O(N²(k + m)).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from torch import Tensor

from clipbench.errors import ConfigError
from clipbench.training.loss_args import LOSS_ALIASES
from clipbench.training.losses.importance import debiased, hn_nce
from clipbench.training.losses.inbatch_replacement import inbatch_replacement
from clipbench.training.losses.inputs import HardNegatives, LossFunction, LossInputs
from clipbench.training.losses.negclip import negclip
from clipbench.training.losses.own_negatives import fsc, svlc
from clipbench.training.losses.sigmoid import sigmoid
from clipbench.training.recipe import Recipe
from clipbench.utils.registry import close_matches

__all__ = [
    "LOSSES",
    "MAX_LOGIT_SCALE",
    "HardNegatives",
    "LossFunction",
    "LossInputs",
    "configured_loss",
    "debiased",
    "find_loss",
    "fsc",
    "hn_nce",
    "inbatch_replacement",
    "negclip",
    "sigmoid",
    "svlc",
]

MAX_LOGIT_SCALE = 100.0
"""Upper bound of the scale in training, a temperature of 0.01 (Radford et al. 2021, arXiv 2103.00020, §2.5)."""

LOSSES: Mapping[str, LossFunction] = MappingProxyType(
    {
        "inbatch_replacement": inbatch_replacement,
        "negclip": negclip,
        "svlc": svlc,
        "fsc": fsc,
        "hn_nce": hn_nce,
        "debiased": debiased,
        "sigmoid": sigmoid,
    }
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


def configured_loss(recipe: Recipe) -> Callable[[LossInputs], Tensor]:
    """A recipe's loss with its hyperparameters."""
    loss: Callable[..., Tensor] = find_loss(recipe.loss)
    if recipe.loss == "inbatch_replacement":
        return partial(loss, negatives_in=recipe.negatives_in)
    return partial(loss, **recipe.loss_args)
