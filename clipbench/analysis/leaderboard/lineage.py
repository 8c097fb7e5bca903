"""Which model on a board was fine-tuned from which."""

from __future__ import annotations

from collections.abc import Mapping

from clipbench.analysis.leaderboard.board import Board
from clipbench.errors import UnknownName
from clipbench.utils.registry import close_matches


def base_of(board: Board, model: str) -> str | None:
    """The key of the model that one was fine-tuned from; None if it is not known or not on the board."""
    base = board.models[model].base
    return _named(board, base, model) if base else None


def finetuned_of(board: Board, model: str) -> str | None:
    """For weights between two models, the key of the fine-tuned one, if it is on the board."""
    finetuned = board.models[model].finetuned
    return _named(board, finetuned, model) if finetuned else None


def set_bases(board: Board, bases: Mapping[str, str]) -> None:
    """Say what models were fine-tuned from, where their results do not.

    Args:
        board: The board; changed.
        bases: The model, by name, label or key, to its base, likewise. The name ``*`` stands for all measured models
            whose base is not known.

    Raises:
        UnknownName: There is no such model on the board.
    """
    for name, base_name in bases.items():
        base = _required(board, base_name)
        digest = board.models[base].weights or board.models[base].name
        if name != "*":
            board.models[_required(board, name)].base = digest
            continue
        for key, facts in board.models.items():
            if key != base and not facts.base and not facts.published:
                facts.base = digest


def _required(board: Board, name: str) -> str:
    found = _named(board, name)
    if found is None:
        labels = [facts.label for facts in board.models.values()]
        raise UnknownName(f"no model {name!r} on the board{close_matches(name, labels)}")
    return found


def _named(board: Board, name: str, other_than: str | None = None) -> str | None:
    """The key of a model by weights, key, label or name; the first of several."""
    for key, facts in board.models.items():
        if key != other_than and not facts.published and name in (facts.weights, key, facts.label, facts.name):
            return key
    return None
