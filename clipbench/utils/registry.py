"""Things by name: duplicates are errors, and an unknown name is answered with its neighbours."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from clipbench.errors import ConfigError, UnknownName

T = TypeVar("T")


def close_matches(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean a, b?)`` for the names nearest to ``name``, or an empty string.

    >>> close_matches("coco_colour", ["coco_color", "coco_size", "sbu_object"])
    ' (did you mean coco_color?)'
    """
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.7)
    return f" (did you mean {', '.join(near)}?)" if near else ""


class Registry(Generic[T]):
    """A mapping from names to things of one kind.

    Args:
        kind: What one entry is called in messages, e.g. ``task``.
        hint: Where to look all names up, e.g. ``clipbench ls tasks``.
    """

    def __init__(self, kind: str, hint: str) -> None:
        self._kind = kind
        self._hint = hint
        self._entries: dict[str, T] = {}

    def register(self, name: str, value: T) -> None:
        """Add an entry.

        Raises:
            ConfigError: The name is taken by something else.
        """
        if name in self._entries and self._entries[name] is not value:
            raise ConfigError(f"two {self._kind}s are called {name!r}: rename one of them")
        self._entries[name] = value

    def get(self, name: str) -> T:
        """Return an entry.

        Raises:
            UnknownName: There is none; the message names close matches.
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
        """All entries, in the order of their names."""
        return (self._entries[name] for name in self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._entries
