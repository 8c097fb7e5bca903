"""What tasks are cited by, as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

from clipbench.errors import ConfigError
from clipbench.task_types.base import Task
from clipbench.utils.registry import close_matches

OWN = "rosch2024enhancing"
"""The key of the paper whose benchmarks and training clipbench implements."""

_ENTRY = re.compile(r"^@\w+\{\s*(?P<key>[^\s,{}]+)\s*,.*?^\}\s*$", re.MULTILINE | re.DOTALL)


@cache
def shipped_entries() -> Mapping[str, str]:
    """The entries of ``tasks/references.bib`` by key."""
    text = (resources.files("clipbench.tasks") / "references.bib").read_text(encoding="utf-8")
    return {match["key"]: match[0].rstrip() for match in _ENTRY.finditer(text)}


def entries_of(task: Task) -> dict[str, str]:
    """Key to entry of everything that a task's data set names; empty if it names nothing.

    Raises:
        ConfigError: A reference is neither a key nor an entry.
    """
    return dict(_resolve(reference, task.name) for reference in task.dataset.references)


def _resolve(reference: str, task: str) -> tuple[str, str]:
    entries = shipped_entries()
    if reference in entries:
        return reference, entries[reference]
    if (match := _ENTRY.match(reference.strip())) and match.end() == len(reference.strip()):
        return match["key"], match[0]
    raise ConfigError(
        f"{task}: reference {reference[:60]!r}{close_matches(reference, entries)}: give a key of tasks/references.bib,"
        " or a BibTeX entry whose } stands on a line of its own"
    )


def bibliography(tasks: Iterable[Task]) -> str:
    """A BibTeX file with each entry once; comments say which tasks it is for.

    The first entry is clipbench's own (``OWN``).

    Raises:
        ConfigError: A reference is neither a key nor an entry, or two entries have the same key.
    """
    found, users = {OWN: shipped_entries()[OWN]}, {OWN: ["clipbench"]}
    for task in tasks:
        for key, entry in entries_of(task).items():
            if found.setdefault(key, entry) != entry:
                raise ConfigError(f"{task.name}: another entry has the key {key}, too: {', '.join(users[key])}")
            users.setdefault(key, []).append(task.name)
    return "\n\n".join(f"% {', '.join(users[key])}\n{entry}" for key, entry in found.items()) + "\n"
