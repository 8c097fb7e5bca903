"""The recipe of a fine-tuning: all that the trained weights depend on besides the base model and the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, get_args

from clipbench.errors import ConfigError
from clipbench.training.loss_args import LOSS_ALIASES, LOSS_ARGS, NEEDS_NEGATIVES, check_loss_args
from clipbench.training.recipe_checks import check_effects, check_mix, check_negative_sources
from clipbench.training.selection import Selection
from clipbench.utils.numbers import MOST_IN_A_BATCH, check_number, check_whole
from clipbench.utils.registry import close_matches

NegativesIn = Literal["both", "image_to_text"]
SameImage = Literal["mask", "keep"]
ReplacementSampling = Literal["uniform", "matched"]
CaptionsPerImage = Literal["all", "one"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]
Schedule = Literal["constant", "cosine"]
Part = Literal["image", "text", "image_projection", "text_projection"]

_CHOICES = {
    "negatives_in": NegativesIn,
    "same_image": SameImage,
    "replacement_sampling": ReplacementSampling,
    "captions_per_image": CaptionsPerImage,
    "precision": Precision,
    "lr_schedule": Schedule,
}

NO_CONCEPT: Final = "none"
_MOST_STEPS, _MOST_CHECKPOINTS = 10**9, 100_000
_MOST_DECAY = 0.9999999  # 1 would average nothing; float32 cannot tell closer ones from it
_WHOLE = {  # minimum and maximum
    "batch_size": (2, MOST_IN_A_BATCH),
    "epochs": (1, 100_000),
    "max_steps": (1, _MOST_STEPS),
    "negatives": (0, 1_000),
    "warmup_steps": (0, _MOST_STEPS),
    "cooldown_steps": (0, _MOST_STEPS),
    "unfreeze_image_layers": (0, 10_000),
    "unfreeze_text_layers": (0, 10_000),
    "lora_rank": (0, 65_536),
    "seed": (0, 2**63 - 1),
}
_NUMBERS = {
    "learning_rate": (0, 1e30),  # float32 can still multiply by it
    "projection_learning_rate": (0, 1e30),
    "layer_decay": (0.001, 1),
    "weight_decay": (0, 1_000),
    "lora_alpha": (0, 1e6),
    "max_grad_norm": (1e-9, 1e9),  # 0 would train nothing
    "checkpoint_every": (1e-4, 1e6),
    "ema": (0, _MOST_DECAY),
}


_FIRST_FIELDS = {
    "concepts", "negatives", "loss", "negatives_in", "batch_size", "epochs", "max_steps", "learning_rate",
    "lr_schedule", "warmup_steps", "cooldown_steps", "weight_decay", "max_grad_norm", "checkpoint_every", "precision",
    "freeze", "lora_rank", "lora_alpha", "seed",
}  # fmt: skip
BEFORE: Final[Mapping[str, Any]] = {"same_image": "keep"}
"""What was done before there was a field, where that is not its default."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A fine-tuning, with the paper's values as defaults (§3 of arXiv 2403.02875).

    Attributes:
        concepts: Names of concepts, or paths of YAML files with one. Only captions with a keyword are used. ``none``
            takes all captions.
        negatives: Hard negatives per caption; 0 is the classical control, and all that there is with concept ``none``,
            unless they are given.
        negatives_from: Columns of the training data with given hard negative captions, in place of exchanged keywords;
            or ``pairs``: rows hold several images with a caption each, and are each other's hard negatives.
        negative_images_from: Columns of the training data with hard negative images.
        replacement_sampling: How keywords are exchanged: ``uniform`` among a keyword's replacements, as in the paper,
            or ``matched``, so that each keyword is as often wrong as right.
        mend_articles: Make an indefinite article before an exchanged keyword fit, "an orange cat" for "a orange cat".
            The paper leaves it.
        loss: A name in ``clipbench.training.losses.LOSSES``.
        loss_args: The loss's own hyperparameters, as in its signature; those not given keep their defaults.
        negatives_in: Which halves of the paper's loss see the hard negatives: ``both``, or only ``image_to_text``.
        same_image: Other captions of an image are no negatives of it (``mask``), or are (``keep``, as in the paper).
        captions_per_image: An epoch has ``all`` captions of an image, or ``one``, drawn for each epoch.
        mix: Share of each batch that comes from elsewhere, without hard negatives: ``general``, the training data's
            captions without a keyword, or another data set, named as in ``train_data``. Counts are rounded.
        batch_size: Pairs per step, over all processes.
        epochs: Passes over the captions with a keyword; an incomplete last batch is dropped.
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
        freeze: What keeps its weights: the towers ``image`` and ``text``, without their projections into the shared
            space, and ``image_projection`` and ``text_projection``.
        unfreeze_image_layers: Last layers of the frozen image tower that are trained still, with all that follows them.
        unfreeze_text_layers: Likewise of the frozen text tower.
        layer_decay: Factor on the learning rate from each layer of a tower to the one before it; what follows the last
            layer has the full rate.
        projection_learning_rate: Peak learning rate of the projections; None is ``learning_rate``.
        center_images: Subtract the mean of the training images' features before the projection, a fixed vector that is
            saved with the model. For paired encoders with a frozen image tower.
        lora_rank: Rank of low-rank adapters trained in place of the towers' weights; 0 trains the weights themselves.
        lora_alpha: Scale of the adapters; None is twice the rank.
        ema: Decay of an exponential moving average of the trained weights, per step; the average is what is scored and
            saved. It starts as the base model. None saves the weights themselves.
        select: Which checkpoint becomes the final model, see ``clipbench.training.selection``:
            ``TASK@TASK>=CHANGE``. None takes the last one.
        seed: Of batches, substitutions, replaced cells, dropout, and initial adapter weights.

    Raises:
        ConfigError: A value is invalid.
    """

    concepts: tuple[str, ...]
    negatives: int = 1
    negatives_from: tuple[str, ...] = ()
    negative_images_from: tuple[str, ...] = ()
    replacement_sampling: ReplacementSampling = "uniform"
    mend_articles: bool = False
    loss: str = "inbatch_replacement"
    loss_args: Mapping[str, float] = field(default_factory=dict)
    negatives_in: NegativesIn = "both"
    same_image: SameImage = "mask"
    captions_per_image: CaptionsPerImage = "all"
    mix: Mapping[str, float] = field(default_factory=dict)
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
    freeze: tuple[Part, ...] = ()
    unfreeze_image_layers: int = 0
    unfreeze_text_layers: int = 0
    layer_decay: float = 1.0
    projection_learning_rate: float | None = None
    center_images: bool = False
    lora_rank: int = 0
    lora_alpha: float | None = None
    ema: float | None = None
    select: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "loss", LOSS_ALIASES.get(self.loss, self.loss))
        if self.loss not in LOSS_ARGS:
            near = close_matches(str(self.loss), LOSS_ARGS)
            raise ConfigError(f"loss {self.loss!r}{near}: give one of {', '.join(LOSS_ARGS)}")
        check_loss_args(self.loss, self.loss_args)
        for name, bounds in _WHOLE.items():
            if (value := getattr(self, name)) is not None:
                check_whole(name, value, *bounds)
        for name, limits in _NUMBERS.items():
            if (value := getattr(self, name)) is not None:
                check_number(name, value, *limits)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(f"{name} {getattr(self, name)!r}: give {' or '.join(get_args(choices))}")
        if not self.concepts or len(set(self.concepts)) != len(self.concepts):
            raise ConfigError(
                f"concepts {', '.join(self.concepts) or '(none)'}: give at least one concept, without duplicates"
            )
        if self.concepts == (NO_CONCEPT,) and not self.negatives_from:
            object.__setattr__(self, "negatives", 0)  # without keywords, nothing can be exchanged
        check_negative_sources(self)
        self._check_freezing()
        if self.loss in NEEDS_NEGATIVES and not self.negatives and not self.negative_images_from:
            raise ConfigError(f"loss {self.loss}: needs negatives; with negatives 0 use inbatch_replacement")
        if self.select is not None:
            Selection.parse(self.select)
        object.__setattr__(self, "mix", dict(sorted(self.mix.items())))  # their order decides on what is drawn
        check_mix(self)
        check_effects(self)

    @property
    def mixed_pairs(self) -> dict[str, int]:
        """How many pairs of each batch come from each part of ``mix``.

        Examples:
            >>> Recipe(("color",), mix={"general": 0.5, "coco": 0.125}, batch_size=20).mixed_pairs
            {'coco': 3, 'general': 10}
        """
        return {name: math.floor(share * self.batch_size + 0.5) for name, share in self.mix.items()}

    @property
    def own_pairs(self) -> int:
        """How many pairs of each batch have a keyword."""
        return self.batch_size - sum(self.mixed_pairs.values())

    def _check_freezing(self) -> None:
        parts = get_args(Part)
        if not set(self.freeze) <= set(parts):
            raise ConfigError(f"freeze {','.join(self.freeze)}: give {', '.join(parts[:-1])} or {parts[-1]}")
        for side, count in self.unfreeze_layers.items():
            if side not in self.freeze:
                raise ConfigError(
                    f"unfreeze_{side}_layers {count}: needs freeze {side}, or all layers are trained anyway"
                )
        if set(parts) <= set(self.freeze) and not self.unfreeze_layers:
            raise ConfigError(f"freeze {','.join(self.freeze)}: nothing is left to train")
        if self.projection_learning_rate is not None and not self.learning_rate:
            raise ConfigError("projection_learning_rate: needs a learning_rate above 0: freeze image,text instead")
        if self.center_images and not self.keeps_image_tower:
            raise ConfigError("center_images: needs freeze image: the mean of a trained encoder's features moves")

    @property
    def unfreeze_layers(self) -> dict[str, int]:
        """By tower, how many of its last layers are trained although it is frozen; without those of which none is."""
        counts = {"image": self.unfreeze_image_layers, "text": self.unfreeze_text_layers}
        return {side: count for side, count in counts.items() if count}

    @property
    def keeps_image_tower(self) -> bool:
        """Whether the image tower, up to its projection, gives the same features in every epoch."""
        return "image" in self.freeze and not self.unfreeze_image_layers

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _as_json(value) for name, value in values.items()}

    def identity(self) -> dict[str, Any]:
        """The fields as JSON values, without later ones that say what was done before there were any."""
        before = recorded_before()
        return {name: value for name, value in self.as_dict().items() if name in _FIRST_FIELDS or value != before[name]}

    def checkpoint_steps(self, steps: int, steps_per_epoch: int) -> set[int]:
        """Steps after which a checkpoint is written: every ``checkpoint_every`` epochs and the last step.

        Examples:
            >>> sorted(Recipe(("color",), checkpoint_every=0.5).checkpoint_steps(steps=12, steps_per_epoch=5))
            [2, 5, 8, 10, 12]

        Raises:
            ConfigError: There would be too many checkpoints.
        """
        between = steps_per_epoch * self.checkpoint_every
        if min(steps, steps / between) > _MOST_CHECKPOINTS:
            raise ConfigError(
                f"checkpoint_every {self.checkpoint_every}: more than {_MOST_CHECKPOINTS:,} checkpoints in"
                f" {steps:,} steps: give a larger number of epochs"
            )
        if between <= 1:
            return set(range(1, steps + 1))
        marks = {round(between * number) for number in range(1, math.floor(steps / between) + 1)}
        return (marks - {0}) | {steps}


def _as_json(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def recorded_before() -> dict[str, Any]:
    """What a recipe says of fields that it was written without: what was done before there were any."""
    return {**Recipe(("any",)).as_dict(), **BEFORE}
