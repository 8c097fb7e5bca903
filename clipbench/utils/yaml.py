"""YAML files, validated against a pydantic model; every error names file and line."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clipbench.errors import ConfigError
from clipbench.utils.files import read_regular
from clipbench.utils.text import short_repr

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")

_MOST_BYTES = 10_000_000
_DEEPEST = 100
_MOST_NODES = 1_000_000  # with aliases written out
_LARGEST, _LONGEST_NUMBER = 2**63, 100


def read_yaml(path: Path) -> Any:
    """Read a YAML file: maps, lists, text, numbers, true, false and null; dates are text.

    Raises:
        ConfigError: It cannot be read, is not YAML, or has a key twice (with the line).
    """
    return _load(path)[0]


def parse_yaml(path: Path, model: type[M]) -> M:
    """Read a YAML file into a pydantic model.

    Raises:
        ConfigError: As ``read_yaml``, or it is invalid; the message names file, line and field.
    """
    from pydantic import ValidationError

    from clipbench.utils.validation import explain

    data, node = _load(path)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: expected a mapping of keys to values")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        where, what = explain(error, model, data)
        raise ConfigError(f"{path}:{_line(node, where)}: {what}") from None


def _load(path: Path) -> tuple[Any, Any]:
    """The content of a file, and its nodes, which know their lines."""
    import yaml

    text = _text(path)
    loader = None
    try:
        loader = _loader()(text)
        node = loader.get_single_node()
        if node is None:
            return None, None
        _check_size(node)
        return loader.construct_document(node), node
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}:{line}: not YAML: character #x{error.character:04x}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = [getattr(error, name, None) for name in ("context", "problem")]
        problem = ": ".join(part for part in said if part) or "not YAML"
        raise ConfigError(f"{path}:{mark.line + 1 if mark else 1}: {problem}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _text(path: Path) -> str:
    try:
        return read_regular(path, _MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: cannot be read: not UTF-8 ({error.reason})") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


@cache
def _loader() -> Any:
    """PyYAML's safe loader without its gaps; created on first use, because listings do not need YAML."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # dates are text
            first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":timestamp")]
            for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def __init__(self, text: str) -> None:
            self._depth = 0
            super().__init__(text)

        def compose_node(self, parent: Any, index: Any) -> Any:
            """Bound the nesting, because code that reads the value is recursive."""
            self._depth += 1
            if self._depth > _DEEPEST:
                raise _problem(f"nested more than {_DEEPEST} deep", self.peek_event())  # type: ignore[no-untyped-call]
            node = super().compose_node(parent, index)
            self._depth -= 1
            return node

        def compose_mapping_node(self, anchor: Any) -> Any:
            """Refuse a key that appears twice; PyYAML would use the last one."""
            node = super().compose_mapping_node(anchor)
            first: dict[Hashable, int] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":merge"):
                    continue
                value = self.construct_object(key)
                if isinstance(value, Hashable):  # anything else cannot be a key, which raises an error later
                    if value in first:
                        raise _problem(f"key {key.value!r} comes twice (first in line {first[value]})", key)
                    first[value] = key.start_mark.line + 1
            return node

        def flatten_mapping(self, node: Any) -> None:
            """Merge `<<`: own keys first, then those of the first map; PyYAML 6.0.4 compares keys by identity."""
            merged: dict[Any, Any] = {}
            for key, value in node.value:
                for source in reversed(value.value if isinstance(value, yaml.SequenceNode) else [value]):
                    if not key.tag.endswith(":merge"):
                        break
                    if not isinstance(source, yaml.MappingNode):
                        raise _problem("only a mapping can be merged by <<", source)
                    self.flatten_mapping(source)
                    merged |= {(pair[0].tag, str(pair[0].value)): pair for pair in source.value}
            own = [pair for pair in node.value if not pair[0].tag.endswith(":merge")]
            given = {(key.tag, str(key.value)) for key, _ in own}
            node.value = [pair for key, pair in merged.items() if key not in given] + own

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            """Name the line of a scalar that looks like a number but is none."""
            if node.tag.endswith(":int") and len(node.value) > _LONGEST_NUMBER:
                raise _problem(f"the number {short_repr(node.value)} is too large", node)
            try:
                value = super().construct_object(node, deep)
            except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
                raise _problem(
                    f"{short_repr(node.value)} cannot be read as {node.tag.rpartition(':')[2]}", node
                ) from None
            if isinstance(value, int) and abs(value) >= _LARGEST:
                raise _problem(f"the number {short_repr(node.value)} is too large", node)
            if isinstance(value, str) and any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in value):
                raise _problem(f"{short_repr(value)} holds a character that no text has", node)
            return value

    return Loader


def _problem(text: str, at: Any) -> Exception:
    from yaml.constructor import ConstructorError

    return ConstructorError(None, None, text, at.start_mark)


def _check_size(root: Any) -> None:
    """Refuse aliases that contain themselves, or that would be too much if written out."""
    sizes: dict[int, int | None] = {}  # None: being counted

    def size(node: Any) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = None
            parts = node.value if isinstance(node.value, list) else []
            sizes[id(node)] = 1 + sum(
                size(part) for entry in parts for part in (entry if isinstance(entry, tuple) else (entry,))
            )
        count = sizes[id(node)]
        if count is None:
            raise _problem("an alias contains itself", node)
        if count > _MOST_NODES:
            raise _problem(f"more than {_MOST_NODES:,} values, with aliases written out", node)
        return count

    size(root)


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
        entry = next((pair for pair in node.value if isinstance(pair, tuple) and pair[0].value == str(part)), None)
        if entry is None:
            break
        line = entry[0].start_mark.line + 1
        node = entry[1]
    return line
