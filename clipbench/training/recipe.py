"""The recipe of a fine-tuning: all that the trained weights depend on besides the base model and the data."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args

from clipbench.errors import ConfigError

NegativesIn = Literal["both", "image_to_text"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]
Schedule = Literal["constant", "cosine"]
Tower = Literal["image", "text"]

LOSS_ALIASES: Final = {
    "replaced_cells": "inbatch_replacement",
    "appended_negatives": "negclip",
    "own_negatives": "svlc",
    "focal_own_negatives": "fsc",
}
"""Former names of losses, still accepted."""

_CHOICES = {"negatives_in": NegativesIn, "precision": Precision, "lr_schedule": Schedule}
_AT_LEAST = {
    "batch_size": 2,
    "epochs": 1,
    "negatives": 0,
    "warmup_steps": 0,
    "cooldown_steps": 0,
    "lora_rank": 0,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A fine-tuning, with the paper's values as defaults (§3 of arXiv 2403.02875).

    Attributes:
        concepts: Names of concepts, or paths of YAML files with one. Only captions with a keyword are used.
        negatives: Hard negatives per caption; 0 is the classical control.
        loss: A name in ``clipbench.training.losses.LOSSES``.
        negatives_in: Which halves of the paper's loss see the hard negatives: ``both``, or only ``image_to_text``.
        batch_size: Pairs per step, over all processes.
        epochs: Passes over the pairs; an incomplete last batch is dropped.
        max_steps: Maximum number of optimizer steps, regardless of ``epochs``.
        learning_rate: AdamW's; the peak of the schedule.
        lr_schedule: ``constant``, or ``cosine``: down to zero at the last step.
        warmup_steps: Steps over which the rate rises to its peak.
        cooldown_steps: Last steps, over which the rate falls linearly to zero.
        weight_decay: Decoupled, on matrices only.
        max_grad_norm: Gradients are scaled down to this norm; None leaves them.
        checkpoint_every: Epochs between checkpoints, mostly a fraction.
        precision: Of the encoders' arithmetic (autocast); weights, loss and optimizer are always fp32. ``auto`` is half
            precision on a CUDA GPU and fp32 elsewhere.
        freeze: Towers that keep their weights.
        lora_rank: Rank of low-rank adapters trained in place of the towers' weights; 0 trains the weights themselves.
        lora_alpha: Scale of the adapters; None is twice the rank.
        seed: Of batches, substitutions, replaced cells, dropout, and initial adapter weights.

    Raises:
        ConfigError: A value is invalid.
    """

    concepts: tuple[str, ...]
    negatives: int = 1
    loss: str = "inbatch_replacement"
    negatives_in: NegativesIn = "both"
    batch_size: int = 64
    epochs: int = 3
    max_steps: int | None = None
    learning_rate: float = 5e-6
    lr_schedule: Schedule = "constant"
    warmup_steps: int = 0
    cooldown_steps: int = 0
    weight_decay: float = 0.1
    max_grad_norm: float | None = None
    checkpoint_every: float = 0.1
    precision: Precision = "auto"
    freeze: tuple[Tower, ...] = ()
    lora_rank: int = 0
    lora_alpha: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "loss", LOSS_ALIASES.get(self.loss, self.loss))
        for name, least in _AT_LEAST.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} {getattr(self, name)}: give {least} or more")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(f"{name} {getattr(self, name)!r}: give {' or '.join(get_args(choices))}")
        if self.max_steps is not None and self.max_steps < 1:
            raise ConfigError(f"max_steps {self.max_steps}: give 1 or more")
        if not self.concepts or len(set(self.concepts)) != len(self.concepts):
            raise ConfigError(
                f"concepts {', '.join(self.concepts) or '(none)'}: give at least one concept, without duplicates"
            )
        for name in ("learning_rate", "weight_decay", "max_grad_norm", "lora_alpha"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} {value}: give a number that is not negative")
        if not (math.isfinite(self.checkpoint_every) and self.checkpoint_every > 0):
            raise ConfigError(f"checkpoint_every {self.checkpoint_every}: give a positive number of epochs")
        if not set(self.freeze) <= set(get_args(Tower)):
            raise ConfigError(f"freeze {','.join(self.freeze)}: give image or text")
        if self.freeze and not set(get_args(Tower)) - set(self.freeze):
            raise ConfigError("freeze image,text: nothing is left to train")
        if self.loss != "inbatch_replacement" and not self.negatives:
            raise ConfigError(f"loss {self.loss}: needs negatives; with negatives 0 use inbatch_replacement")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed {self.seed}: give a number from 0 to 2^63 - 1")

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def checkpoint_steps(self, steps: int, steps_per_epoch: int) -> set[int]:
        """Steps after which a checkpoint is written: every ``checkpoint_every`` epochs and the last step.

        Examples:
            >>> sorted(Recipe(("color",), checkpoint_every=0.5).checkpoint_steps(steps=12, steps_per_epoch=5))
            [2, 5, 8, 10, 12]
        """
        between = steps_per_epoch * self.checkpoint_every
        marks = {round(between * number) for number in range(1, math.floor(steps / between) + 1)}
        return (marks - {0}) | {steps}
