"""A study, as its YAML file declares it: base models, their training, and the tables of the report."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from clipbench.analysis.published import ORIGINAL as ORIGINAL
from clipbench.concepts import load_concept
from clipbench.errors import ConfigError, UnknownName
from clipbench.reproduce.table_schema import Figure, Part, Table, of_concepts
from clipbench.training.recipe import Recipe
from clipbench.utils.registry import close_matches
from clipbench.utils.validation import explain
from clipbench.utils.yaml import parse_yaml

FIGURE = "figure"  # what `--only` calls it, among the ids of tables
_MOST_CHECKPOINTS = 25
_STUDIES_OWN = {"concepts", "negatives", "seed", "max_steps"}  # set by the study itself, which counts in epochs


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
    """

    data: str
    concepts: list[str] = Field(min_length=1)
    negatives: list[int] = Field(default=[0, 1, 2, 3], min_length=1)
    seeds: list[int] = Field(default=[0], min_length=1)
    limit: int | None = None
    captions: dict[str, int] = {}
    recipe: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_valid(self) -> Training:
        known = {field.name for field in fields(Recipe)} - _STUDIES_OWN
        labels = [concept_label(concept) for concept in self.concepts]
        for name in self.recipe:
            if name not in known:
                raise ValueError(f"recipe: {name}{close_matches(name, known)}: fields are {', '.join(sorted(known))}")
        for name, values in (("seeds", self.seeds), ("negatives", self.negatives), ("concepts", labels)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name}: given twice ({', '.join(map(str, values))})")
        try:
            for seed in self.seeds:
                for number in self.negatives:
                    self.recipe_of(self.concepts[0], number, seed)
        except (ConfigError, TypeError) as error:
            raise ValueError(f"recipe: {error}") from None
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

    @property
    def epochs(self) -> int:
        """Passes over the captions."""
        epochs: int = self.recipe.get("epochs", Recipe.__dataclass_fields__["epochs"].default)
        return epochs

    def places(self, data: Mapping[str, str]) -> dict[str, str]:
        """Those of ``data`` that concern training: pictures drawn on demand (``scenes=120``) lie nowhere."""
        trained_on = {self.data, *self.recipe.get("mix", {})}
        return {name: place for name, place in data.items() if name in trained_on}

    def recipe_of(self, concept: str, negatives: int, seed: int) -> Recipe:
        """The recipe of one run."""
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.recipe.items()
        }
        return Recipe((concept,), negatives=negatives, seed=seed, **given)


class Speed(Part):
    """Speed of training and scoring, for the plan's estimate.

    Attributes:
        captions_per_second: In training, by number of negatives, from 0.
        scoring_seconds: Per scored checkpoint, if known.
        machine: Where this was measured.
    """

    captions_per_second: list[float]
    scoring_seconds: float | None = None
    machine: str


class Study(Part):
    """A study.

    Attributes:
        name: Of the study.
        title: One line.
        base_models: As ``clipbench eval --model`` takes them.
        training: What they are trained on, and how.
        tables: Tables of the report.
        figure: The trade-off of accuracy and retrieval.
        published_by: Authors of the published figures (``clipbench.analysis.published``) that the report quotes;
            empty to quote none.
        comparable: The figures are of the same base model, data and tasks, so that differences are meaningful.
        published_training: Published time and memory of the training.
        speed: For the plan's estimate.
        limit: Score at most this many samples per task.
        include_path: Files or folders with more tasks, relative to the study's file.
        quick: Fields that differ in a smaller version of the study; those of ``training`` are merged one by one.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    title: str
    base_models: list[str] = Field(min_length=1)
    training: Training
    tables: list[Table] = Field(min_length=1)
    figure: Figure | None = None
    published_by: str = ""
    comparable: bool = False
    published_training: str = ""
    speed: Speed | None = None
    limit: int | None = None
    include_path: list[str] = []
    quick: dict[str, Any] = {}

    @model_validator(mode="after")
    def _tables_are_valid(self) -> Study:
        names = [concept_label(concept) for concept in self.training.concepts]
        parts = [
            *((f"table {table.id}", table) for table in self.tables),
            *([("figure", self.figure)] if self.figure else []),
        ]
        for where, part in parts:
            for concept in part.concepts:
                if concept not in names:
                    raise ValueError(f"{where}: {concept} is not among training's concepts ({', '.join(names)})")
        ids = [table.id for table in self.tables]
        if len(set(ids)) != len(ids) or FIGURE in ids:
            raise ValueError(f"tables: an id is given twice, or is {FIGURE} ({', '.join(ids)})")
        if len(set(self.base_models)) != len(self.base_models):
            raise ValueError(f"base_models: given twice ({', '.join(self.base_models)})")
        return self

    def tasks(self, tables: Collection[str] | None = None) -> list[str]:
        """Tasks of some tables, each once; None for all tables and the figure."""
        parts: list[Table | Figure] = [table for table in self.tables if tables is None or table.id in tables]
        if self.figure and (tables is None or FIGURE in tables):
            parts.append(self.figure)
        return list(dict.fromkeys(task for part in parts for task in part.all_tasks))

    def trained_on(self, data: str) -> Study:
        """The study with other training data; published figures stay comparable only with a copy of its own."""
        is_a_copy = data.partition("=")[0] == self.training.data.partition("=")[0]
        captions = self.training.captions if is_a_copy else {}
        training = self.training.model_copy(update={"data": data, "captions": captions})
        return self.model_copy(update={"training": training, "comparable": self.comparable and is_a_copy})

    def quickly(self) -> Study:
        """The smaller version.

        Raises:
            ConfigError: There is none, or it is invalid.
        """
        if not self.quick:
            raise ConfigError(f"study {self.name} has no quick version: give it a section quick")
        changes = {**self.quick}
        training = {**self.training.model_dump(), **(changes.pop("training", None) or {})}
        training["recipe"] = {**self.training.recipe, **training["recipe"]}
        concepts = {concept_label(str(concept)) for concept in training["concepts"]}
        whole = {
            **self.model_dump(),
            "name": f"{self.name}-quick",
            "title": f"{self.title} (quick)",
            "quick": {},
            "tables": [left for table in self.tables if (left := of_concepts(table, concepts))],
            "figure": (of_concepts(self.figure, concepts) or None) if self.figure else None,
        }
        given = {**whole, **changes, "training": training}
        try:
            return Study.model_validate(given)
        except ValidationError as error:
            raise ConfigError(f"study {self.name}: quick: {explain(error, Study, given)[1]}") from None


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


def shipped_studies() -> list[str]:
    """Names of the studies that are shipped."""
    folder = resources.files("clipbench.reproduce")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_study(written: str) -> Study:
    """Load a study by name, or from a YAML file; paths in it are relative to the file.

    Raises:
        UnknownName: No study of that name.
        ConfigError: The file cannot be read or is invalid; names the line.
    """
    names = shipped_studies()
    if written in names:
        with resources.as_file(resources.files("clipbench.reproduce") / f"{written}.yaml") as path:
            return _parse(path)
    if not written.endswith((".yaml", ".yml")):
        near = close_matches(written, names)
        raise UnknownName(f"study {written!r}{near}: studies are {', '.join(names)}, or give a YAML file")
    return _parse(Path(written))


def _parse(path: Path) -> Study:
    study, folder = parse_yaml(path, Study), path.parent.resolve()
    training = study.training.model_copy(update={"concepts": _resolve(folder, study.training.concepts)})
    for concept in training.concepts:
        load_concept(concept)  # fails now rather than after an hour
    quick = {**study.quick}
    if isinstance(changes := quick.get("training"), dict) and "concepts" in changes:
        quick["training"] = {**changes, "concepts": _resolve(folder, changes["concepts"])}
    further = [str(folder / place) for place in study.include_path]
    return study.model_copy(update={"training": training, "include_path": further, "quick": quick})


def _resolve(folder: Path, concepts: Sequence[str]) -> list[str]:
    """Concepts; files by their absolute path."""
    return [str(folder / name) if name.endswith((".yaml", ".yml")) else name for name in concepts]
