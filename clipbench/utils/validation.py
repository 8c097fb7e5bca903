"""Pydantic's errors about a user's file, in one plain sentence that names the key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from clipbench.utils.registry import close_matches
from clipbench.utils.text import short_repr

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

Location = tuple[str | int, ...]

_KINDS = {
    "string": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list",
    "tuple": "a list", "set": "a list", "dict": "a mapping of keys to values", "model": "a mapping of keys to values",
    "none": "null",
}  # fmt: skip


def explain(error: ValidationError, model: type[BaseModel], data: object) -> tuple[Location, str]:
    """Put the first error into words.

    Args:
        error: What ``model.model_validate(data)`` raised.
        model: The model.
        data: What was validated.

    Returns:
        The place in ``data``, as keys and indices; and the sentence, which names the place.
    """
    found = error.errors()
    first = found[0]
    where, kind = _place(tuple(first["loc"]), data), first["type"]
    key = ".".join(map(str, where))
    if kind == "missing":
        return where, f"{'.'.join(map(str, (*where, first['loc'][-1])))}: this key is missing"
    if kind == "extra_forbidden":
        known = _keys(model, where[:-1])
        keys = f"; keys are {', '.join(known)}" if known else ""
        return where, f"{key}: unknown key{close_matches(str(where[-1]), known)}{keys}"
    if kind == "value_error":  # raised by our own validators
        said = str(first["msg"]).removeprefix("Value error, ")
        return where, f"{key}: {said}" if key else said
    if first["loc"][-1:] == ("[key]",):
        return where, f"{key}: a key must be text, not {short_repr(first['input'])}"
    alternatives = [one for one in found if _place(tuple(one["loc"]), data) == where]  # of a union
    wanted = " or ".join(dict.fromkeys(map(_wanted, alternatives)))
    return where, f"{key}: must be {wanted}, not {short_repr(first['input'])}"


def _wanted(one: ErrorDetails) -> str:
    kind = one["type"].partition("_")[0]
    if one["type"] == "string_pattern_mismatch":
        return f"of the form {one['ctx']['pattern']}"
    if kind in _KINDS and one["type"].endswith(("_type", "_parsing", "_from_float", "_parsing_size")):
        return _KINDS[kind]
    said = re.sub(r"^\w+ should (be )?", "", one["msg"])  # "Input should be less than 3", "List should have at least …"
    return re.sub(r"^have (.*?)( after validation)?(, not \d+)?$", r"of \1", said)


def _place(location: Location, data: Any) -> Location:
    """The keys and indices of a location, without the names of types and alternatives that pydantic adds."""
    if not location:
        return ()
    found = [_place(location[1:], data)]
    part = location[0]
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        found.append((part, *_place(location[1:], data[part])))
    for key in data if isinstance(data, Mapping) else ():
        if str(key) == str(part):  # pydantic writes keys as text
            found.append((part, *_place(location[1:], data[key])))
    return max(found, key=lambda place: (place[-1:] == location[-1:], len(place)))


def _keys(model: Any, place: Location) -> list[str]:
    """The keys of the part of a model at a place; none if that is not itself a model."""
    from pydantic import BaseModel

    for part in place:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation if part in getattr(model, "model_fields", {}) else None
        model = next((each for each in _types(annotation) if issubclass(each, BaseModel)), None)
    return list(model.model_fields) if model is not None else []


def _types(annotation: Any) -> list[type]:
    parts = [part for each in get_args(annotation) for part in _types(each)]
    return parts or ([annotation] if isinstance(annotation, type) else [])
