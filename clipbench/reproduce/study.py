"""A study, as its YAML file declares it: base models, their training, and the tables of the report."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from clipbench.analysis.published import ORIGINAL as ORIGINAL
from clipbench.concepts import load_concept
from clipbench.errors import ConfigError, UnknownName
from clipbench.reproduce.table_schema import ContactSheets, Figure, GainsTable, Part, Table, of_concepts
from clipbench.reproduce.training_schema import NAME, BaseTraining, Training, concept_label, model_label
from clipbench.utils.registry import close_matches
from clipbench.utils.validation import explain
from clipbench.utils.yaml import parse_yaml

FIGURE = "figure"  # what `--only` calls it, among the ids of tables


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
        model_args: Passed to ``clipbench.load_model`` with each of them.
        base_training: How the base model is trained before all else; None if it is used as it is.
        training: What they are trained on, and how.
        tables: Tables of the report.
        figure: The trade-off of accuracy and retrieval.
        contact_sheets: Samples on which two kinds of models differ.
        published_by: Authors of the published figures (``clipbench.analysis.published``) that the report quotes;
            empty to quote none.
        comparable: The figures are of the same base model, data and tasks, so that differences are meaningful.
        published_training: Published time and memory of the training.
        speed: For the plan's estimate.
        limit: Score at most this many samples per task.
        limits: Likewise of single tasks.
        alphas: Shares of the fine-tuned weights at which each model with one hard negative is interpolated with its
            base model.
        notes: Paragraphs for the beginning of the report.
        include_path: Files or folders with more tasks, relative to the study's file.
        quick: Fields that differ in a smaller version of the study; those of ``training`` and ``base_training`` are
            merged one by one.
    """

    name: str = Field(pattern=f"^{NAME}$")
    title: str
    base_models: list[str] = Field(min_length=1)
    model_args: dict[str, Any] = {}
    base_training: BaseTraining | None = None
    training: Training
    tables: list[Table] = Field(min_length=1)
    figure: Figure | None = None
    contact_sheets: ContactSheets | None = None
    published_by: str = ""
    comparable: bool = False
    published_training: str = ""
    speed: Speed | None = None
    limit: int | None = None
    limits: dict[str, int] = {}
    alphas: list[Annotated[float, Field(gt=0, lt=1)]] = []
    notes: list[str] = []
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
        if self.base_training and len(self.base_models) > 1:
            raise ValueError("base_training: one base model is trained: name one")
        self._check_kinds()
        if unknown := self.limits.keys() - set(self.tasks()):
            raise ValueError(f"limits: {', '.join(sorted(unknown))}: no task of a table or the figure")
        return self

    def _check_kinds(self) -> None:
        """Tables and sheets name kinds of models that the study has, and sheets tasks whose samples are logged."""
        known = [ORIGINAL, *map(model_label, self.training.negatives), *self.training.methods]
        named = [(f"table {table.id}", table.against) for table in self.tables if isinstance(table, GainsTable)]
        if sheets := self.contact_sheets:
            named += [("contact_sheets", sheets.model), ("contact_sheets", sheets.against)]
            if unknown := set(sheets.tasks.values()) - self.logged_tasks:
                raise ValueError(f"contact_sheets: {', '.join(sorted(unknown))}: no task of a table of gains")
        for where, label in named:
            if label not in known:
                raise ValueError(f"{where}: no kind of model is called {label}: there are {', '.join(known)}")

    @property
    def trained_on_data(self) -> list[str]:
        """All data that some training reads, as ``train_data`` names it."""
        base = [self.base_training.data] if self.base_training else []
        return list(dict.fromkeys([*base, self.training.data, *self.training.mixed]))

    def places(self, data: Mapping[str, str]) -> dict[str, str]:
        """Those of ``data`` that concern a training."""
        return {name: place for name, place in data.items() if name in self.trained_on_data}

    @property
    def logged_tasks(self) -> frozenset[str]:
        """Tasks on which models are compared sample by sample."""
        return frozenset(task for table in self.tables if isinstance(table, GainsTable) for task in table.all_tasks)

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

    def without_methods(self) -> Study:
        """The study without its further kinds of models."""
        return self.model_copy(update={"training": self.training.model_copy(update={"methods": {}})})

    def loaded_with(self, model_args: Mapping[str, object]) -> Study:
        """The study with further arguments of its base models, such as folders in place of names on the hub."""
        return self.model_copy(update={"model_args": {**self.model_args, **model_args}})

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
        if self.base_training:
            of_base = {**self.base_training.model_dump(), **(changes.pop("base_training", None) or {})}
            changes["base_training"] = {**of_base, "recipe": {**self.base_training.recipe, **of_base["recipe"]}}
        concepts = {concept_label(str(concept)) for concept in training["concepts"]}
        whole = {
            **self.model_dump(),
            "name": f"{self.name}-quick",
            "title": f"{self.title} (quick)",
            "quick": {},
            "tables": [left for table in self.tables if (left := of_concepts(table, concepts))],
            "figure": (of_concepts(self.figure, concepts) or None) if self.figure else None,
            "contact_sheets": (of_concepts(self.contact_sheets, concepts) or None) if self.contact_sheets else None,
        }
        given = {**whole, **changes, "training": training}
        try:
            return Study.model_validate(given)
        except ValidationError as error:
            raise ConfigError(f"study {self.name}: quick: {explain(error, Study, given)[1]}") from None


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
