"""Captions in a table cell: text, a list of texts, or a list that pandas or NumPy wrote as text."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping

from clipbench.errors import DataError

# Keys of the text if a caption is an object, as in Karpathy's files, COCO's annotations and several hub data sets.
_TEXT_KEYS = ("raw", "caption", "text", "sentence")
# One quoted text of a list, and its separator from the next one: NumPy writes no commas.
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_ITEM = re.compile(rf"\s*({_QUOTED}|None|nan)(?:\s*,\s*|\s+|$)", re.DOTALL)
_LONGEST_LIST = 100_000  # characters; parsing takes time and memory many times the text's


def captions_in(value: object, where: str) -> str | list[str] | None:
    """The content of a cell: a caption, a list of captions, or None for an empty cell.

    Text that is a list, ``['a dog', 'a red dog']``, is parsed as one: CSV has no other way to represent it.

    Raises:
        DataError: The cell holds something else, or a list as text that cannot be parsed.
    """
    if value is None or isinstance(value, str):
        return value if value is None or value.lstrip()[:1] not in ("[", "(", "{") else _from_text(value, where)
    if isinstance(value, (list, tuple)):
        items = [_caption(item) for item in value]
        if None not in items:
            return [item for item in items if item is not None]
    elif (text := _caption(value)) is not None:
        return text
    raise DataError(
        f"{where}: expected a caption or a list of captions, found {type(value).__name__} {str(value)[:40]!r}"
    )


def _caption(item: object) -> str | None:
    """The text of a list's item; None if it has none."""
    if isinstance(item, Mapping):
        item = next((item[key] for key in _TEXT_KEYS if key in item), item)
    if item is None or item != item:  # a missing value, which pandas writes as NaN
        return ""
    return item if isinstance(item, str) else None


def _from_text(text: str, where: str) -> str | list[str]:
    """The list that a text represents, or else the text."""
    stripped = text.strip()
    found = listed(stripped)
    if found is not None:
        return found
    if re.match(r"""[\[(\s]*[\[{]\s*['"]""", stripped):
        raise DataError(
            f"{where}: begins like a list of captions, but cannot be read as one: {stripped[:40]!r}"
            f"{' …' if len(stripped) > 40 else ''}; write it as JSON, or one caption a row"
        )
    return text


def listed(text: str) -> list[str] | None:
    """The texts of a list that was written as text; None if it is not such a list."""
    found = _parsed(text) if len(text) <= _LONGEST_LIST else None
    if not isinstance(found, (list, tuple, dict)):
        return None
    items = [_caption(item) for item in (found if not isinstance(found, dict) else [found])]
    return None if None in items else [item for item in items if item is not None]


def _parsed(text: str) -> object:
    """The value of a text in the notation of JSON, Python or NumPy; None if it has another one."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if text[0] != "{" and text[-1] in "])":
        items, place, end = [], 1, len(text) - 1
        while (match := _ITEM.match(text, place, end)) is not None:
            items.append(match[1])
            place = match.end()
        if place == end and (text[0] == "[" or len(items) > 1 or text[-2] == ","):
            return [_literal(item) for item in items]
    return _literal(text) if "{" in text else None  # Python joins neighboring texts: ['a''b'] would be one


def _literal(text: str) -> object:
    if text in ("None", "nan"):
        return ""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
