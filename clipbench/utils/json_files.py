"""JSON from untrusted files: plain data that can be written again, or an error that names the file and the problem."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clipbench.errors import ResultError
from clipbench.utils.files import read_regular, require_regular
from clipbench.utils.text import excerpt
from clipbench.utils.validation import explain

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")

_MOST_BYTES = 256 << 20
_MOST_DIGITS = 30  # of a whole number; a seed may have 20
_DEEPEST = 48
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def is_regular_file(path: Path) -> bool:
    """Whether a path is a regular file, not a folder, device or pipe. False for a name that no file can have."""
    try:
        require_regular(path)
    except OSError:
        return False
    return True


def read_json(path: Path, kind: str) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        kind: What it should be, for the message: ``result file``.

    Returns:
        As ``parse_json``.

    Raises:
        ResultError: It cannot be read, is not a regular file, or is not such JSON; names the file.
    """
    try:
        return parse_json(read_regular(path, _MOST_BYTES))
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    raise ResultError(f"{path}: not a readable {kind}: {reason}")


def parse_json(raw: bytes, *, lone_surrogates: bool = False) -> Any:
    """Parse a JSON text.

    Args:
        raw: UTF-8.
        lone_surrogates: Accept strings with lone surrogates, which JSON can escape but no text file can hold.

    Returns:
        Plain data that can be written again: only finite numbers, no duplicate keys, at most 48 levels of nesting.

    Raises:
        ValueError: It is not such JSON; the message is one short line.
    """
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode()
        data = _DECODER.decode(text)
        if text.count("[") + text.count("{") > _DEEPEST:  # fewer cannot be nested deeper
            _check_depth(data, _DEEPEST)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise ValueError(f"nested more than {_DEEPEST} deep") from None
    if not lone_surrogates and _SURROGATE.search(text):
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a string with a lone surrogate, which cannot be written") from None
    return data


def validate(model: type[M], data: Any, path: Path) -> M:
    """Check data against a pydantic model.

    Raises:
        ResultError: They do not fit; names the file, the field and what is wrong with it.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ResultError(f"{path}: {excerpt(explain(error, model, data)[1], 240)}") from None


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits):,} digits")
    return int(digits)


def _real(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{excerpt(text, 20)} is too large a number")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


class RepeatedKey(ValueError):
    """A JSON object has a key twice."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs: the ``object_pairs_hook`` of a JSON reader that does not let the last one win.

    Raises:
        RepeatedKey: A key appears twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise RepeatedKey(f"the key {excerpt(twice, 60)!r} appears twice")
    return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=unique_keys, parse_int=_whole, parse_float=_real, parse_constant=_no_constant
)


def _check_depth(value: Any, left: int) -> None:
    if not left:
        raise RecursionError
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(part, dict | list):
            _check_depth(part, left - 1)
