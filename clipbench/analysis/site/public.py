"""A board without the folders of this machine, which are nobody else's business."""

from __future__ import annotations

import re
from typing import TypeVar

from clipbench.analysis.leaderboard.board import Board
from clipbench.analysis.leaderboard.merge import label_models

# An absolute path up to its last part, with / or with \, that begins a text, a word or a part of an argument. Not the
# // of an address.
_FOLDERS = re.compile(r"""(?<!:/)(?<![^\s"'`(:=,/])(?:/(?:[^/:\s]+/)+|[A-Za-z]:\\(?:[^\\\s]+\\)+)""")

Content = TypeVar("Content")


def without_folders(content: Content) -> Content:
    """Texts, and texts in lists and in the values of dictionaries, with the names of files only.

    Examples:
        >>> without_folders(["/home/me/out/results.json: cannot be read", "open_clip:ViT-B-32//home/me/b.pt"])
        ['results.json: cannot be read', 'open_clip:ViT-B-32/b.pt']
        >>> without_folders("see https://example.org/a/b, org/model and 1/2")
        'see https://example.org/a/b, org/model and 1/2'
    """
    if isinstance(content, str):
        return _FOLDERS.sub("", content)  # type: ignore[return-value]
    if isinstance(content, list):
        return [without_folders(each) for each in content]  # type: ignore[return-value]
    if isinstance(content, dict):
        return {name: without_folders(value) for name, value in content.items()}  # type: ignore[return-value]
    return content


def named_board(board: Board) -> Board:
    """A copy of a board in which no model and no note names a folder; its scores still name the files they come from.

    Models that lay in folders of one name are numbered.
    """
    keys: dict[str, str] = {}
    for key in board.models:
        short = without_folders(key)
        namesakes = sum(without_folders(other) == short for other in keys)
        keys[key] = f"{short} {namesakes + 1}" if namesakes else short
    content = board.model_dump()
    content |= {column: without_folders(content[column]) for column in ("models", "notes", "refused")}
    content["models"] = {keys[key]: facts for key, facts in content["models"].items()}
    for each in (*content["scores"], *content["means"], *content["history"]):
        each["model"] = keys[each["model"]]
    named = Board.model_validate(content)
    named.notes += [note for note in label_models(named.models) if note not in named.notes]
    return named


def public_board(board: Board) -> Board:
    """A copy of a ``named_board`` none of whose texts names a folder."""
    return Board.model_validate(without_folders(board.model_dump()))
