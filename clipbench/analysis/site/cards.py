"""Chosen samples as what pages show: images by their place in the site, texts with their scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clipbench.analysis.contact_sheet import ShownSample
from clipbench.analysis.leaderboard.board import Board
from clipbench.analysis.leaderboard.tables import ordered_models
from clipbench.analysis.site.samples import Line, TaskSamples, image_path
from clipbench.types import LoggedSample


@dataclass(frozen=True)
class Sheet:
    """Some of a model's mistakes on a task.

    Attributes:
        wrong: How many there are.
        n: Samples that the primary metric counts.
        shown: How many are shown.
        cards: ``images`` as paths in the site, None where there is none, and the ``samples`` of these images.
    """

    wrong: int
    n: int
    shown: int
    cards: list[dict[str, Any]]


def mistake_sheet(chosen: TaskSamples, model: str) -> Sheet:
    """A model's chosen mistakes, as on a contact sheet."""
    by_images: dict[tuple[str, ...], list[Line]] = {}
    for line in chosen.wrong[model]:
        by_images.setdefault(line[0].images, []).append(line)
    cards = [
        {**_pictures(chosen, lines[0][0]), "samples": [shown for _, shown in lines]} for lines in by_images.values()
    ]
    return Sheet(*chosen.counts[model], shown=len(chosen.wrong[model]), cards=cards)


def hardest_cards(chosen: TaskSamples, board: Board) -> list[dict[str, Any]]:
    """Samples that most models get wrong: ``texts`` and, for each model, the best first, its ``answers``."""
    order = [model for model in ordered_models(board) if model in chosen.wrong]
    cards = []
    for lines in chosen.hardest:
        sample, shown = lines[order[0]]
        texts = [text.parts for text in shown.texts if text.label in ("", "true")]
        answers = {model: _answer(*lines[model]) for model in order}
        cards.append({**_pictures(chosen, sample), "texts": texts, "answers": answers})
    return cards


def _pictures(chosen: TaskSamples, sample: LoggedSample) -> dict[str, Any]:
    contents = [chosen.images.get(key) for key in sample.images]
    return {"id": sample.id, "images": [content and image_path(content) for content in contents]}


def _answer(sample: LoggedSample, shown: ShownSample) -> dict[str, Any]:
    """What a model answered: whether it is right, what it preferred to the true text, and by how much."""
    preferred = next((text.parts for text in shown.texts if text.label in ("winner", "tie")), ())
    differing = " … ".join(part for part, differs in preferred if differs)
    return {"right": shown.right, "preferred": differing, "note": shown.note or _margins(sample)}


def _margins(sample: LoggedSample) -> str:
    """For each text of a pair, by how much its own image leads the best other one.

    Examples:
        >>> _margins(LoggedSample("", False, False, "", "", ("a", "b"), ("t", "u"), ((0.25, 0.5), (0.5, 0.75)), {}))
        '−0.250, +0.250'
    """
    columns = list(zip(*sample.scores, strict=True))[: len(sample.images)]
    if len(sample.images) < 2:
        return ""
    leads = [column[own] - max(score for place, score in enumerate(column) if place != own)
             for own, column in enumerate(columns)]  # fmt: skip
    return ", ".join(f"{lead:+.3f}".replace("-", "−") for lead in leads)
