"""Registries of named objects: duplicates are errors, and unknown names get close matches."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from clipbench.errors import ConfigError, UnknownName

T = TypeVar("T")


def close_matches(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean a, b?)`` for the names closest to ``name``, or an empty string.

    Examples:
        >>> close_matches("coco_colour", ["coco_color", "coco_size", "sbu_object"])
        ' (did you mean coco_color?)'
    """
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.7)
    return f" (did you mean {', '.join(near)}?)" if near else ""


class Registry(Generic[T]):
    """A mapping from names to objects of one kind.

    Args:
        kind: The noun for an entry in messages, e.g. ``task``.
        hint: The command that lists all names, e.g. ``clipbench ls tasks``.
    """

    def __init__(self, kind: str, hint: str) -> None:
        self._kind = kind
        self._hint = hint
        self._entries: dict[str, T] = {}

    def register(self, name: str, value: T) -> None:
        """Add an entry.

        Raises:
            ConfigError: Another object has this name.
        """
        if name in self._entries and self._entries[name] is not value:
            raise ConfigError(f"two {self._kind}s are named {name!r}: rename one of them")
        self._entries[name] = value

    def get(self, name: str) -> T:
        """Return an entry.

        Raises:
            UnknownName: It does not exist; the message lists close matches.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownName(
                f"unknown {self._kind} {name!r}{close_matches(name, self._entries)}; `{self._hint}` lists all"
            ) from None

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._entries)

    def values(self) -> Iterator[T]:
        """All entries, sorted by name."""
        return (self._entries[name] for name in self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._entries
