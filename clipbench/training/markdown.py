"""Values of any kind as Markdown that shows them and nothing else."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath, PureWindowsPath

_MARKUP = re.compile(r"([\\`*_\[\]#|~$])")


def markdown_table(mapping: Mapping[str, object]) -> str:
    """Names and values as a table without a head; a mapping inside becomes ``outer.inner``."""
    lines = ["", "| | |", "|---|---|"]
    lines += [f"| {markdown_text(name)} | {markdown_text(value)} |" for name, value in _flat(mapping)]
    return "\n".join([*lines, ""])


def _flat(mapping: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def markdown_text(value: object) -> str:
    r"""Any value as one line of plain Markdown text, which neither a table nor HTML can be broken out of.

    Examples:
        >>> print(markdown_text("a|b <i>*c*</i>"))
        a\|b &lt;i&gt;\*c\*&lt;/i&gt;
    """
    if value is None or value == "":
        return "" if value == "" else "–"
    if isinstance(value, list | tuple | set | frozenset):
        parts = sorted(value) if isinstance(value, set | frozenset) else value
        return ", ".join(markdown_text(part) for part in parts)
    return html.escape(_MARKUP.sub(r"\\\1", public_text(value)), quote=False)


def public_text(value: object) -> str:
    """A value in one line, without the folders that lead to it."""
    text = " ".join("".join(char if char.isprintable() else " " for char in str(value)).split())
    if text.startswith(("/", "~")) and len(text) > 1:
        return PurePosixPath(text).name
    return PureWindowsPath(text).name if re.match(r"[A-Za-z]:\\", text) else text
