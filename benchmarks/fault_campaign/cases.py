"""A malformed input: what is spoiled, which command meets it, and what may come of it."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Expect = Literal["refused", "same", "either"]
"""``refused``: the command must fail in a line. ``same``: it must give what the sound input gives, or ``refused`` where
the input need not be understood. ``either``: it may be refused or mean something else."""

ODD_SCALARS = (
    "null",
    "true",
    "-1",
    "0",
    "1e400",
    ".nan",
    ".inf",
    '""',
    "[]",
    "{}",
    "[[[[[]]]]]",
    "2024-02-30",
    "!!int foo",
    "0b_",
    "9" * 5000,
    "[" * 3000,
    "&a [*a]",
    "x" * 5000,
    '"\\0"',
    '"\\ud800"',
    "!!python/object:os.system",
    "'../../x'",
    "*a",
    "1970-01-01 25:61:00",
    "!!binary x",
    "<<: 3",
    "12:30:45",
    "é",
    '"\\e[31m"',
)
ODD_VALUES = (
    None,
    True,
    -1,
    0,
    1e308,
    float("nan"),
    float("inf"),
    "",
    [],
    {},
    [[[]]],
    "x" * 5000,
    10**400,
    "\ud800",
    "a/b",
    "../x",
    "\x1b[31m",
    [None],
    {"": None},
    3.7,
    "\0",
    -0.5,
    2,
    "nan",
)


@dataclass(frozen=True)
class Case:
    """One malformed input.

    Attributes:
        kind: The kind of input.
        name: What is wrong with it.
        words: The command that meets it, run in a copy of the workspace.
        spoil: Makes it.
        expect: What may come of it.
        stdin: What the command reads.
        env: Environment variables; a new process is started for them.
        check: Looks at the copy afterwards; gives a fault, or None.
    """

    kind: str
    name: str
    words: tuple[str, ...]
    spoil: Callable[[Path], None] = lambda folder: None
    expect: Expect = "either"
    stdin: bytes = b""
    env: Mapping[str, str | None] = field(default_factory=dict)
    check: Callable[[Path], str | None] = lambda folder: None


def copy_workspace(source: Path, target: Path) -> None:
    """Copy it; what no command writes to is linked, and replaced by ``put`` where it is spoiled."""

    def link_or_copy(src: str, dst: str) -> None:
        if any(part.startswith("tiny") or part == "img" for part in Path(src).relative_to(source).parts):
            os.link(src, dst)
        else:
            shutil.copy2(src, dst)

    shutil.copytree(source, target, symlinks=True, copy_function=link_or_copy)


def put(path: Path, content: bytes | str) -> None:
    """Replace a file."""
    path.unlink(missing_ok=True)
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)


def damage(content: bytes, how: str, draw: random.Random) -> bytes:
    """Damage bytes: ``empty``, ``half``, ``cut``, ``flip``, ``zeros``, ``noise`` or ``insert``."""
    place = draw.randrange(max(1, len(content)))
    if how == "empty":
        return b""
    if how == "half":
        return content[: len(content) // 2]
    if how == "cut":
        return content[: max(1, place)]
    if how == "flip":
        return content[:place] + bytes([content[place] ^ (1 << draw.randrange(8))]) + content[place + 1 :]
    if how == "zeros":
        return content[:place] + bytes(min(64, len(content) - place)) + content[place + 64 :]
    if how == "insert":
        return content[:place] + draw.randbytes(9) + content[place:]
    return draw.randbytes(len(content) or 99)


DAMAGES = ("empty", "half", "cut", "flip", "zeros", "noise", "insert")


def set_inside(data: object, value: object, draw: random.Random) -> str:
    """Set a value at a random place of nested dicts and lists; returns the place."""
    path = []
    while True:
        keys = list(data) if isinstance(data, dict) else list(range(len(data)))  # type: ignore[call-overload,arg-type]
        key = draw.choice(keys)
        path.append(str(key))
        inner = data[key]  # type: ignore[index]
        if not isinstance(inner, (dict, list)) or not inner or draw.random() < 0.25:
            data[key] = value  # type: ignore[index]
            return ".".join(path)
        data = inner
