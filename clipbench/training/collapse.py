"""Detects a collapsed training: the loss stays where it is if all images and texts look alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch

from clipbench.training.losses import HardNegatives, LossInputs, configured_loss
from clipbench.training.recipe import Recipe

_STEPS: Final = 20
_TOLERANCE: Final = 0.002  # relative; any model that has learned something is further below


def uninformed_loss(recipe: Recipe, negative_images: int = 0) -> float:
    """The loss of a model to which all images and texts look alike.

    It is ln N for batches of N pairs, and more if hard negatives add columns or ``negative_images`` a pair add rows. Of
    captions that share an image in the batch it takes no notice.

    Examples:
        >>> round(uninformed_loss(Recipe(("color",), batch_size=64)), 4)  # ln 64
        4.1589
        >>> round(uninformed_loss(Recipe(("color",), batch_size=64, loss="negclip")), 4)  # (ln 128 + ln 64) / 2
        4.5055
    """
    alike = torch.zeros(recipe.batch_size, 1)
    captions, images = (_alike(recipe, count) for count in (recipe.negatives, negative_images))
    candidates = recipe.batch_size + recipe.own_pairs * (recipe.negatives + negative_images)
    bias = torch.tensor(-math.log(candidates - 1))  # where training takes it: one candidate of all is right
    return float(configured_loss(recipe)(LossInputs(alike, alike, torch.tensor(1.0), captions, images, bias=bias)))


def _alike(recipe: Recipe, count: int) -> HardNegatives | None:
    pair = torch.arange(recipe.batch_size).unsqueeze(1)
    positions = (pair + 1 + torch.arange(count)) % recipe.batch_size
    valid = (pair < recipe.own_pairs).expand(-1, count)
    return HardNegatives(torch.zeros(*positions.shape, 1), positions, valid) if count else None


class CollapseWatch:
    """Warns once when the loss has stayed at that of an uninformed model for many steps.

    Args:
        recipe: The run's recipe.
        on_note: Called with the warning.
        negative_images: Negative images of each pair.
    """

    def __init__(self, recipe: Recipe, on_note: Callable[[str], None], negative_images: int = 0) -> None:
        self._level, self._pairs = uninformed_loss(recipe, negative_images), recipe.batch_size
        self._on_note = on_note
        self._since: tuple[int, float] | None = None
        self._warned = False

    def see(self, step: int, loss: float, logit_scale: float) -> None:
        """Look at a step's loss and the logit scale (the factor of the cosine similarities) it was computed with."""
        if not math.isclose(loss, self._level, rel_tol=_TOLERANCE):
            self._since = None
            return
        self._since = self._since or (step, logit_scale)
        first, scale = self._since
        if step - first + 1 >= _STEPS and not self._warned:
            self._warned = True
            self._on_note(
                f"warning: since step {first} the loss is {loss:.3f}, that of a model to which all images and texts of"
                f" a batch of {self._pairs} look alike; the logit scale went from {scale:.3g} to {logit_scale:.3g}: the"
                " training has collapsed, or has not begun; try a lower learning_rate, or warmup_steps"
            )
