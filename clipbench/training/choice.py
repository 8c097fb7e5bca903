"""Choosing the final model among a run's checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from clipbench.training.checkpoints import read_checkpoint, restorable
from clipbench.training.selection import Choice, Selection

if TYPE_CHECKING:
    import torch

    from clipbench.training.ema import WeightAverage
    from clipbench.training.setup import TrainingSetup


def best_so_far(setup: TrainingSetup) -> Choice | None:
    """The best checkpoint that is scored and still has its state, by the recipe's ``select``; None without one."""
    if setup.recipe.select is None:
        return None
    there = {0, *restorable(setup.folder.path)}
    scores = {step: results for step, results in setup.scores.all().items() if step in there}
    return Selection.parse(setup.recipe.select).choose(scores)


def restore_best(
    setup: TrainingSetup, optimizer: torch.optim.Optimizer, average: WeightAverage, on_note: Callable[[str], None]
) -> Choice | None:
    """Give the model the weights of the checkpoint that is chosen, and say so.

    Raises:
        ResultError: That checkpoint cannot be read.
    """
    choice, select = best_so_far(setup), setup.recipe.select
    if choice is None:
        if select is not None:
            on_note(f"warning: {select}: no checkpoint has these scores: the last one is taken")
        return None
    if choice.step != setup.batches.steps:
        read_checkpoint(restorable(setup.folder.path)[choice.step], setup.model, optimizer, average)
    if choice.satisfied:
        on_note(f"selected by {select}: {choice}")
    else:
        on_note(f"warning: no checkpoint satisfies {select}; selected the one that misses it least: {choice}")
    return choice
