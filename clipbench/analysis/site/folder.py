"""A site's folder: written as a whole, and recognized again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from clipbench.analysis.leaderboard.board import read_board
from clipbench.errors import ConfigError, ResultError
from clipbench.utils.files import atomic_directory

BOARD, INDEX, STYLE, CARD = "leaderboard.json", "index.html", "style.css", "README.md"
FOLDERS = ("images", "models", "tasks")
"""Hold nothing but what a site consists of, so that what an earlier one left in them is removed."""

_OWN = (INDEX, BOARD, STYLE, *FOLDERS)


def is_site(folder: Path) -> bool:
    """Whether a folder holds a site, by its index and its board."""
    try:
        read_board(folder / BOARD)
    except ResultError:
        return False
    return (folder / INDEX).is_file()


def check_folder(folder: Path) -> None:
    """Refuse a folder in which a site would replace something else.

    Raises:
        ConfigError: It holds such files, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"`site` {folder}: a file; name a folder")
    taken = [name for name in _OWN if os.path.lexists(folder / name)]
    if taken and not is_site(folder):
        raise ConfigError(f"`site` {folder}: {taken[0]} in it is no part of a site; remove it or name another folder")


def write_site(folder: Path, files: Iterable[tuple[str, str | bytes]]) -> None:
    """Write a site; what else is in the folder stays, and so does an existing card.

    Args:
        folder: A new folder, an earlier site, or one with other files (``.git``, ``CNAME``).
        files: Path in the site and content.

    Raises:
        ConfigError: As for ``check_folder``.
        ResultError: It cannot be written; nothing has changed.
    """
    check_folder(folder)
    with atomic_directory(folder.resolve(), _put_in_place) as part:  # `.` has no name, and its parts need one
        for name, content in files:
            path = part / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


def site_files(folder: Path) -> dict[str, Path]:
    """The files of a site, by path with ``/``; those that belong to something else in its folder are left out.

    Raises:
        ResultError: There is no site.
    """
    if not is_site(folder):
        raise ResultError(f"{folder}: holds no site that `clipbench leaderboard` wrote")
    files = [folder / name for name in (BOARD, INDEX, STYLE)]
    files += [path for name in FOLDERS for path in sorted((folder / name).rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path for path in files}


def _put_in_place(part: Path, folder: Path) -> None:
    new = {path.relative_to(part) for path in part.rglob("*") if path.is_file()}
    for path in sorted(new):
        if path.name == CARD and (folder / path).exists():
            continue
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(part / path, folder / path)
    for name in FOLDERS:
        for path in (folder / name).glob("*"):
            if path.relative_to(folder) not in new and path.is_file():
                path.unlink()
