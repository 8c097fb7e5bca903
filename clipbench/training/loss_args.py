"""The losses' names and hyperparameters, as a recipe is checked against them: without torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from clipbench.errors import ConfigError
from clipbench.utils.numbers import check_number
from clipbench.utils.registry import close_matches

LOSS_ALIASES: Final = {
    "replaced_cells": "inbatch_replacement",
    "appended_negatives": "negclip",
    "own_negatives": "svlc",
    "focal_own_negatives": "fsc",
}
"""Former names of losses, still accepted."""

_ANY: Final = (0, 1_000)
LOSS_ARGS: Final[Mapping[str, Mapping[str, tuple[float, float]]]] = MappingProxyType(
    {
        "inbatch_replacement": {},
        "negclip": {},
        "svlc": {"weight": _ANY},
        "fsc": {"weight": _ANY, "gamma": _ANY, "smoothing": (0, 1)},
        "hn_nce": {"alpha": (1e-6, 1), "beta": _ANY},
        "debiased": {"beta": _ANY, "tau_plus": (0, 0.999)},
        "sigmoid": {},
    }
)
"""The losses by name, each with the minimum and maximum of its hyperparameters."""

NEEDS_NEGATIVES: Final = ("negclip", "svlc", "fsc")
"""Losses that are plain InfoNCE without hard negatives."""


def check_loss_args(loss: str, arguments: Mapping[str, float]) -> None:
    """Refuse hyperparameters that a loss does not have, or values outside their bounds.

    Raises:
        ConfigError: Names the hyperparameter.
    """
    bounds = LOSS_ARGS[loss]
    if not isinstance(arguments, Mapping):
        raise ConfigError(f"loss_args {arguments!r}: give names with values")
    for name, value in arguments.items():
        if name not in bounds:
            known = f"it has {', '.join(bounds)}" if bounds else "it has none"
            raise ConfigError(f"loss_args {name}: not of loss {loss}{close_matches(name, bounds)}; {known}")
        check_number(f"loss_args {name}", value, *bounds[name])
    if 0 < arguments.get("gamma", 0) < 1:
        raise ConfigError(f"loss_args gamma {arguments['gamma']:g}: give 0, or 1 or more")
