"""Tasks without code: a YAML file that names a task type, a dataset and a concept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from clipbench.concepts import concept_names, load_concept
from clipbench.data.dataset import Dataset, HubTable
from clipbench.task_types.base import TASK_TYPES, Task
from clipbench.task_types.declarations import NAME
from clipbench.utils.files import local_path
from clipbench.utils.registry import close_matches
from clipbench.utils.urls import is_url
from clipbench.utils.yaml import parse_yaml, read_yaml


class DatasetFile(BaseModel):
    """Where a YAML task's rows are: ``path`` (relative to the file) or ``hub``.

    Column names left out are guessed from the common ones. ``label`` is the column of the class, for classification.
    ``image_folder`` (relative to the file) is where images are, if not next to the table.
    """

    model_config = ConfigDict(extra="forbid")

    path: str | None = None
    hub: str | None = None
    revision: str = "main"
    split: str = "test"
    config: str | None = None
    images: list[str] | str = []
    captions: list[str] | str = []
    false_captions: list[str] | str = []
    label: str = ""
    image_folder: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> DatasetFile:
        if (self.path is None) == (self.hub is None):
            raise ValueError("give either path or hub")
        return self


class TaskFile(BaseModel):
    """A task as written in YAML; the keys are ``Task``'s attributes."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=NAME)
    task_type: str = "ranking"
    version: int = Field(1, ge=1, strict=True)
    dataset: DatasetFile
    concept: str | None = None
    expected_n: int | None = Field(None, ge=1, strict=True)
    groups: list[str] = []
    tags: list[str] = []
    where: dict[str, str | int | bool] = {}
    group_field: str | None = None
    text_template: str | None = None
    captions: Literal["all", "first"] | PositiveInt | None = None
    cutoffs: list[PositiveInt] | None = Field(None, min_length=1)
    class_names: list[str] | None = Field(None, min_length=2)
    templates: list[str] | None = Field(None, min_length=1)
    license: str = ""
    citation: str = ""
    references: list[str] = []

    @field_validator("task_type")
    @classmethod
    def _known_type(cls, name: str) -> str:
        if name not in TASK_TYPES:
            known = ", ".join(sorted(TASK_TYPES))
            raise ValueError(f"unknown task type {name!r}{close_matches(name, TASK_TYPES)}; task types are {known}")
        return name

    @model_validator(mode="after")
    def _concept_if_needed(self) -> TaskFile:
        if TASK_TYPES[self.task_type].needs_concept != (self.concept is not None):
            raise ValueError(
                f"a {self.task_type} task has no concept"
                if self.concept
                else f"a {self.task_type} task needs a concept"
            )
        return self

    @model_validator(mode="after")
    def _fits_the_type(self) -> TaskFile:
        for name in self.of_some_types:
            if not hasattr(TASK_TYPES[self.task_type], name):
                raise ValueError(f"a {self.task_type} task has no {name}")
        for template in self.templates or ():
            if "{}" not in template:
                raise ValueError(f"template {template!r} has no {{}} for the class")
        if self.text_template is not None and self.text_template.count("{}") != 1:
            raise ValueError(f"text_template {self.text_template!r} needs one {{}}, where the caption goes")
        return self

    @property
    def of_some_types(self) -> dict[str, object]:
        """The given attributes that only some task types have."""
        cutoffs = None if self.cutoffs is None else tuple(sorted(set(self.cutoffs)))
        names = ("group_field", "text_template", "captions", "class_names", "templates")
        given = {**{name: getattr(self, name) for name in names}, "cutoffs": cutoffs}
        return {name: value for name, value in given.items() if value is not None}


def is_concept_file(path: Path) -> bool:
    """Whether a YAML file holds a concept, which may be next to the tasks that use it."""
    data = read_yaml(path)
    return isinstance(data, dict) and "dataset" not in data and bool({"mutual", "replacements"} & data.keys())


def task_from_yaml(path: Path) -> Task:
    """Make a task from a YAML file.

    Raises:
        ConfigError: The file cannot be read or is invalid; names the line.
        UnknownName: There is no such concept.
    """
    file = parse_yaml(path, TaskFile)
    attributes: dict[str, object] = {
        "name": file.name,
        "version": file.version,
        "dataset": _dataset(file, path.parent),
        "expected_n": file.expected_n,
        "groups": tuple(file.groups),
        "tags": tuple(file.tags),
        "where": file.where,
        "__doc__": f"Declared in {path.name}.",
    }
    attributes |= file.of_some_types
    if file.concept is not None:
        concept = file.concept if file.concept in concept_names() else _concept_path(file.concept, path.parent)
        load_concept(concept)  # complains now rather than when the first row is read
        attributes["concept"] = concept
    task: Task = type(file.name, (TASK_TYPES[file.task_type],), attributes)()
    return task


def _concept_path(concept: str, folder: Path) -> str:
    return str(folder / concept) if concept.endswith((".yaml", ".yml")) else concept


def _dataset(file: TaskFile, folder: Path) -> Dataset:
    data = file.dataset
    images, captions, false_captions = map(_columns, (data.images, data.captions, data.false_captions))
    fields = (*file.where, *([file.group_field] if file.group_field else []))
    return Dataset(
        name=file.name,
        hub=HubTable(
            data.hub or "",
            data.revision,
            data.split,
            images,
            captions,
            tuple(dict.fromkeys(fields)),
            data.config,
            exact=bool(images or captions),
            false_captions=false_captions,
            label=data.label,
        ),
        layouts=() if file.task_type != "classification" or data.label else ("webdataset", "class_folders"),
        path=None if data.path is None else _located(data.path, folder),
        license=file.license,
        citation=file.citation,
        references=tuple(file.references),
        image_folder=None if data.image_folder is None else str(folder / local_path(data.image_folder)),
    )


def _located(place: str, folder: Path) -> str:
    """A place with paths relative to the task's file."""
    parts = place.split("::")  # tars in several places
    return "::".join(part if is_url(part) else str(folder / local_path(part)) for part in parts)


def _columns(names: list[str] | str) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
