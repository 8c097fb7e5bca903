"""A board as one HTML page that needs nothing else: no network, no library, no second file.

A column is a ``<th>`` in ``templates/leaderboard.html`` and a cell in ``_row``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from clipbench.analysis.leaderboard.board import Board, GroupMean, Score
from clipbench.analysis.leaderboard.disagreements import Disagreements
from clipbench.analysis.leaderboard.tables import cell, legend, ordered_models
from clipbench.task_types.registry import find_task_type

_PARTS = {"css": "leaderboard.css", "js": "leaderboard.js", "samples_js": "leaderboard_samples.js"}
_Z = 1.959964  # 95 % of a normal distribution lie within so many standard errors


def html_page(board: Board, gallery: Disagreements | None = None) -> str:
    """Render the page.

    The table is part of the page itself; sorting, the plot, breakdowns and the gallery are drawn by its script from
    the data that the page holds. Names and texts are escaped, and the page's policy forbids any request.

    Args:
        board: The board.
        gallery: Samples that models disagree on.
    """
    loader = PackageLoader("clipbench.analysis.leaderboard", "templates")
    environment = Environment(loader=loader, autoescape=True)
    parts = {
        name: Markup(loader.get_source(environment, file)[0])  # noqa: S704  # the package's own files
        for name, file in _PARTS.items()
    }
    groups = sorted({mean.group for mean in board.means})
    return environment.get_template("leaderboard.html").render(
        board=board,
        groups=groups,
        rows=[_row(board, key, groups) for key in ordered_models(board)],
        legend=legend(board),
        unranked=any(not score.comparable and not score.published for score in board.scores),
        payload=_embedded(_payload(board, gallery or Disagreements())),
        **parts,
    )


def _embedded(data: object) -> Markup:
    """JSON that cannot end its script element."""
    text = json.dumps(data, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # escaped just above


def _row(board: Board, key: str, groups: list[str]) -> dict[str, Any]:
    means = {mean.group: mean for mean in board.means if mean.model == key}
    scores = [board.score(key, task) for task in board.tasks]
    return {
        "facts": board.models[key],
        "cells": [*(_score_cell(score) for score in scores), *(_mean_cell(means.get(group)) for group in groups)],
    }


def _score_cell(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    number = "n unknown" if score.n is None else f"n = {score.n:,}"
    rank = "" if score.rank is None else f", rank {score.rank}"
    chance = "" if score.chance is None else f", chance {score.chance:.3f}"
    blind = "".join(f", {rule} {share:.3f}" for rule, share in score.blind.items())
    return {
        **_bar(score.value, score.stderr),
        "text": cell(score),
        "title": f"{score.metric}, {number}{chance}{blind}{rank}; {score.date or score.file}",
        "heat": max(0, round(100 * (score.value if score.centred is None else score.centred))),
        "rank": score.rank,
        "floor": None if score.floor is None else round(100 * score.floor, 1),
        "flagged": not score.comparable,
    }


def _mean_cell(mean: GroupMean | None) -> dict[str, Any] | None:
    if mean is None:
        return None
    stderr = "" if mean.stderr is None else f" ± {mean.stderr:.3f}"
    title = f"mean over {mean.tasks} tasks, rank {mean.rank}"
    return {
        **_bar(mean.value, mean.stderr),
        "text": f"{mean.value:.3f}{stderr}",
        "title": title,
        "heat": round(100 * mean.value),
        "rank": mean.rank,
        "flagged": False,
    }


def _bar(value: float, stderr: float | None) -> dict[str, Any]:
    """Places on a track from 0 to 100, of the value and the ends of its 95 % interval."""
    reach = _Z * (stderr or 0)
    low, high = max(0.0, value - reach), min(1.0, value + reach)
    return {"value": repr(value), "at": round(100 * value, 1), "from": round(100 * low, 1),
            "width": round(100 * (high - low), 1)}  # fmt: skip


def _payload(board: Board, gallery: Disagreements) -> dict[str, Any]:
    """What the page's script draws from."""
    order = ordered_models(board)
    place = {key: index for index, key in enumerate(order)}
    tasks: dict[str, dict[str, Any]] = {
        name: {
            "task_type": facts.task_type,
            "whole_set": find_task_type(facts.task_type).whole_set,
            "metric": facts.metric,
            "concept": facts.concept or facts.task_type,
            "blind": None,
            "scores": {},
        }
        for name, facts in board.tasks.items()
    }
    for score in board.scores:
        if score.floor is not None and (score.comparable or tasks[score.task]["blind"] is None):
            tasks[score.task]["blind"] = round(score.floor, 6)
        tasks[score.task]["scores"][place[score.model]] = {
            "value": score.value,
            "stderr": score.stderr,
            "apart": score.rank is None and not score.published,
            "breakdown": {part: [each.n, each.value] for part, each in score.breakdown.items()},
            "confusion": _indexed(score.confusion),
        }
    return {
        "models": [board.models[key].label for key in order],
        "tasks": tasks,
        "gallery": {task: [_placed(sample, place) for sample in found] for task, found in gallery.samples.items()},
        "images": gallery.images,
    }


def _indexed(confusion: Mapping[str, Mapping[str, int]]) -> dict[str, Any] | None:
    """Keywords once, and ``[row, column, count]``: a third of the size."""
    if not confusion:
        return None
    words = sorted({*confusion, *(word for row in confusion.values() for word in row)})
    counts = [
        [words.index(word), words.index(other), count]
        for word, row in confusion.items()
        for other, count in row.items()
    ]
    return {"words": words, "counts": counts}


def _placed(sample: Mapping[str, Any], place: Mapping[str, int]) -> dict[str, Any]:
    answers = {place[model]: answer for model, answer in sample["answers"].items() if model in place}
    return {**sample, "answers": answers}
