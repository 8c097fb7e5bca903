"""The learning-rate schedules."""

from __future__ import annotations

import math

from clipbench.training.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of a step: linear warm-up, then the schedule, with a linear cool-down at the end.

    Args:
        recipe: Peak rate, schedule, lengths of warm-up and cool-down.
        step: The step, counted from 0.
        steps: Steps of the whole training.
    """
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    rate = recipe.learning_rate * min(1.0, (steps - step) / max(1, recipe.cooldown_steps))
    if recipe.lr_schedule == "constant":
        return rate
    done = (step - recipe.warmup_steps) / max(1, steps - recipe.warmup_steps)
    return rate * (1 + math.cos(math.pi * done)) / 2
