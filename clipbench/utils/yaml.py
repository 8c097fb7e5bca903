"""YAML files, validated against a pydantic model; every error names file and line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clipbench.errors import ConfigError
from clipbench.utils.files import read_regular

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        ConfigError: It cannot be read, or is not YAML (with the line).
    """
    return _compose(path)[0]


def parse_yaml(path: Path, model: type[M]) -> M:
    """Read a YAML file into a pydantic model.

    Raises:
        ConfigError: It cannot be read, is not YAML, or is invalid; the message names file, line and field.
    """
    from pydantic import ValidationError

    data, node = _compose(path)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: expected a mapping of keys to values")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        where = f"{path}:{_line(node, first['loc'])}"
        raise ConfigError(f"{where}: {field + ': ' if field else ''}{message}") from None


def _compose(path: Path) -> tuple[Any, Any]:
    import yaml

    try:
        text = read_regular(path).decode("utf-8-sig")
        return yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{path}:{line}: {problem}") from None


def _line(node: Any, location: tuple[str | int, ...]) -> int:
    """The line, from 1, of the deepest part of ``location`` that the file contains."""
    line: int = node.start_mark.line + 1
    for part in location:
        if isinstance(node.value, str):
            break
        if isinstance(part, int) and part < len(node.value) and not isinstance(node.value[part], tuple):
            node = node.value[part]
            line = node.start_mark.line + 1
            continue
        entry = next((pair for pair in node.value if isinstance(pair, tuple) and pair[0].value == part), None)
        if entry is None:
            break
        line = entry[0].start_mark.line + 1
        node = entry[1]
    return line
