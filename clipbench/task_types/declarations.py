"""What a class must declare to be a task, checked when it is found rather than in the middle of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from clipbench.data.dataset import Dataset, HubTable
from clipbench.errors import ConfigError
from clipbench.task_types.base import Task
from clipbench.utils.text import short_repr

NAME: Final = r"^[A-Za-z0-9_.-]{1,100}$"
"""A task's name becomes part of file names."""


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(NAME, value) is not None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and value.count("{}") == 1 and "{" not in value.replace("{}", "")


def _are_texts(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(map(_is_text, value))


def _are_metrics(value: Any) -> bool:
    return _are_texts(value) and len(value) > 0 and len(set(value)) == len(value)


def _is_text_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and _are_texts([*value, *value.values()])


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_share(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and 0 <= value <= 1)


def _is_dataset(value: Any) -> bool:
    if not isinstance(value, Dataset) or not _is_text(value.name) or not value.name:
        return False
    texts = (value.license, value.citation, value.homepage, value.instructions)
    places = (value.path, value.generator)
    fits = all(map(_is_text, texts)) and all(place is None or _is_text(place) for place in places)
    return (
        fits
        and (value.hub is None or _is_hub_table(value.hub))
        and all(map(_are_texts, (value.layouts, value.references)))
    )


def _is_hub_table(value: Any) -> bool:
    return (
        isinstance(value, HubTable)
        and all(map(_is_text, (value.repo, value.revision, value.split)))
        and all(map(_are_texts, (value.images, value.captions, value.fields, value.false_captions)))
    )


def _are_names(value: object) -> bool:
    if isinstance(value, str):
        return ":" in value
    return isinstance(value, list | tuple) and all(_is_text(part) or callable(part) for part in value)


_RULES: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "name": (_is_name, "up to 100 letters, digits and _ . -"),
    "version": (_is_count, "a whole number, 1 or more"),
    "dataset": (_is_dataset, "a Dataset, its columns in tuples"),
    "expected_n": (lambda value: value is None or _is_count(value), "None, or a whole number, 1 or more"),
    "groups": (_are_texts, "a tuple of names"),
    "tags": (_are_texts, "a tuple of names"),
    "where": (lambda value: isinstance(value, Mapping) and all(map(_is_text, value)), "a mapping of field to value"),
    "allow_invalid": (lambda value: isinstance(value, bool), "True or False"),
    "note": (_is_text, "text"),
    "task_type": (_is_name, "up to 100 letters, digits and _ . -"),
    "metrics": (_are_metrics, "a tuple of names, each once"),
    "balanced_metrics": (_is_text_mapping, "a mapping of metric to the metric that it averages"),
    "primary_metric": (_is_text, "one of its metrics"),
    "whole_set": (lambda value: isinstance(value, bool), "True or False"),
    "hub_task": (lambda value: _are_texts(value) and len(value) == 2, "a pair of texts"),
    "concept": (lambda value: _is_text(value) and bool(value), "the name of a concept, or of a YAML file"),
    "skip_keywords": (_are_texts, "a tuple of words"),
    "group_field": (_is_text, "the name of a field"),
    "language": (_is_text, "an ISO 639-1 code, or empty"),
    "class_names": (_are_names, "a tuple of names, or module:NAME"),
    "templates": (_are_names, "a tuple of prompts with {} for the class, or module:NAME"),
    "cutoffs": (
        lambda value: bool(value) and isinstance(value, tuple) and all(map(_is_count, value)),
        "a tuple of ranks",
    ),
    "text_template": (_is_template, "text with {} where the caption goes"),
}


def make_task(declared: type[Task], where: str) -> Task:
    """Instantiate a task's class.

    Args:
        declared: A class with a ``name``.
        where: The file or entry point that it comes from, for messages.

    Raises:
        ConfigError: An attribute is missing or of the wrong kind, a method is missing, or the class cannot be called;
            names the task and the attribute.
    """
    task = f"{where}: task {short_repr(declared.name)}"
    if missing := sorted(declared.__abstractmethods__):
        raise ConfigError(f"{task} has no method {', '.join(missing)}")
    needed = ["dataset", "task_type", "metrics", "primary_metric", *(["concept"] if declared.needs_concept else [])]
    for attribute in needed:
        if not hasattr(declared, attribute):
            raise ConfigError(f"{task} declares no {attribute}")
    for attribute, (fits, wanted) in _RULES.items():
        value = getattr(declared, attribute, None)
        is_computed = hasattr(value, "__get__")
        if hasattr(declared, attribute) and not is_computed and not fits(value):
            raise ConfigError(f"{task}: {attribute} is {short_repr(value)}: give {wanted}")
    if declared.primary_metric not in declared.metrics:
        raise ConfigError(f"{task}: primary_metric is {short_repr(declared.primary_metric)}: give one of its metrics")
    if not hasattr(declared.chance, "__get__") and not _is_share(declared.chance):
        raise ConfigError(f"{task}: chance is {short_repr(declared.chance)}: give None, or a share from 0 to 1")
    try:
        return declared()
    except Exception as error:  # a plug-in's constructor may raise anything
        raise ConfigError(f"{task} cannot be made: {type(error).__name__}: {error}") from None
