"""What a study trains, as its file declares it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from pydantic import Field, model_validator

from clipbench.concepts import load_concept
from clipbench.errors import ConfigError
from clipbench.reproduce.table_schema import Part
from clipbench.training.recipe import NO_CONCEPT, Recipe
from clipbench.utils.registry import close_matches

NAME: Final = r"[A-Za-z0-9_.-]+"
_MOST_CHECKPOINTS = 25
_STUDIES_OWN = {"concepts", "negatives", "seed", "max_steps"}  # set by the study itself, which counts in epochs
_BASES_OWN = {"concepts", "negatives"}


class BaseTraining(Part):
    """How the base model is made of the encoders that ``Study.base_models`` and ``model_args`` name.

    Attributes:
        data: As ``clipbench finetune --train_data`` takes it; all its captions are trained on.
        recipe: Fields of ``clipbench.training.recipe.Recipe``.
        captions: The number of captions, for the plan.
    """

    data: str
    recipe: dict[str, Any] = {}
    captions: int | None = None

    @model_validator(mode="after")
    def _is_valid(self) -> BaseTraining:
        _check_fields(self.recipe, _BASES_OWN)
        try:
            self.as_recipe()
        except (ConfigError, TypeError) as error:
            raise ValueError(f"recipe: {error}") from None
        return self

    def as_recipe(self) -> Recipe:
        """The recipe of the training."""
        return Recipe((NO_CONCEPT,), **_recipe_values(self.recipe))


class Training(Part):
    """What the base models are trained on, and how.

    Attributes:
        data: As ``clipbench finetune --train_data`` takes it.
        concepts: Names, or YAML files next to the study's; each is trained on separately.
        negatives: Hard negatives per caption, a run for each; 0 is the control. A concept takes part with as many as
            each of its keywords has replacements.
        seeds: A run for each.
        limit: Train on this many captions of a concept at most.
        captions: Concept to the number of its captions in the complete data, for the plan.
        recipe: Fields of ``clipbench.training.recipe.Recipe``: ``epochs``, ``learning_rate``,
            ``negatives_in``, …
        methods: Further kinds of models, by name: what differs from the recipe with one hard negative per caption.
    """

    data: str
    concepts: list[str] = Field(min_length=1)
    negatives: list[int] = Field(default=[0, 1, 2, 3], min_length=1)
    seeds: list[int] = Field(default=[0], min_length=1)
    limit: int | None = None
    captions: dict[str, int] = {}
    recipe: dict[str, Any] = {}
    methods: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _is_valid(self) -> Training:
        _check_fields(self.recipe, _STUDIES_OWN)
        labels = [concept_label(concept) for concept in self.concepts]
        for name, values in (("seeds", self.seeds), ("negatives", self.negatives), ("concepts", labels)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name}: given twice ({', '.join(map(str, values))})")
        try:
            for seed in self.seeds:
                for number in self.negatives:
                    self.recipe_of(self.concepts[0], number, seed)
        except (ConfigError, TypeError) as error:
            raise ValueError(f"recipe: {error}") from None
        for method, changes in self.methods.items():
            self._check_method(method, changes)
        if not isinstance(self.epochs, int) or isinstance(self.epochs, bool):
            raise ValueError(f"recipe: epochs {self.epochs}: give a whole number")
        recipe = self.recipe_of(self.concepts[0], min(self.negatives), min(self.seeds))
        parts = 1 / recipe.checkpoint_every
        if abs(parts - round(parts)) > 1e-6 or not 1 <= round(parts) <= _MOST_CHECKPOINTS:
            raise ValueError(
                f"recipe: checkpoint_every {recipe.checkpoint_every}: give 1, 0.5, 0.1, …: an epoch in up to"
                f" {_MOST_CHECKPOINTS} parts, so that there is a checkpoint after each whole one"
            )
        return self

    def _check_method(self, method: str, changes: Mapping[str, Any]) -> None:
        if not re.fullmatch(NAME, method) or method in map(model_label, self.negatives):
            raise ValueError(f"methods: {method!r}: give a name of letters, digits, dots and dashes")
        try:
            _check_fields(changes, {*_STUDIES_OWN, "epochs", "checkpoint_every"} - {"negatives"})
            self.recipe_of(self.concepts[0], 1, self.seeds[0], method)
        except (ConfigError, TypeError, ValueError) as error:
            raise ValueError(f"methods: {method}: {error}") from None

    @property
    def epochs(self) -> int:
        """Passes over the captions."""
        epochs: int = self.recipe.get("epochs", Recipe.__dataclass_fields__["epochs"].default)
        return epochs

    def places(self, data: Mapping[str, str]) -> dict[str, str]:
        """Those of ``data`` that concern training: pictures drawn on demand (``scenes=120``) lie nowhere."""
        trained_on = {self.data, *self.mixed}
        return {name: place for name, place in data.items() if name in trained_on}

    @property
    def mixed(self) -> list[str]:
        """What is mixed into batches by the recipe or a method."""
        recipes = (self.recipe, *self.methods.values())
        return list(dict.fromkeys(name for recipe in recipes for name in recipe.get("mix", {})))

    def recipe_of(self, concept: str, negatives: int, seed: int, method: str = "") -> Recipe:
        """The recipe of one run; a method's own ``negatives`` come before the given number."""
        changes = self.methods[method] if method else {}
        values = {"negatives": negatives, **self.recipe, **changes, "seed": seed}
        return Recipe((concept,), **_recipe_values(values))


def concept_label(concept: str) -> str:
    """The name of a concept, also if it was given as a file.

    Examples:
        >>> concept_label("color"), concept_label("my/shape.yaml")
        ('color', 'shape')
    """
    return Path(concept).stem if concept.endswith((".yaml", ".yml")) else concept


def model_label(negatives: int) -> str:
    """The paper's name of a kind of model.

    Examples:
        >>> model_label(0), model_label(2)
        ('Clas.', 'HN2')
    """
    return f"HN{negatives}" if negatives else "Clas."


def most_negatives(concept: str) -> int:
    """The number of replacements that every keyword of a concept has at least."""
    return min(map(len, load_concept(concept).replacements.values()))


def _check_fields(recipe: Mapping[str, Any], own: Collection[str]) -> None:
    """Refuse what is no field of a recipe, or one that the study itself sets."""
    known = {field.name for field in fields(Recipe)} - set(own)
    for name in recipe:
        if name not in known:
            raise ValueError(f"recipe: {name}{close_matches(name, known)}: fields are {', '.join(sorted(known))}")


def _recipe_values(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a recipe has them: lists of YAML are tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in recipe.items()}
