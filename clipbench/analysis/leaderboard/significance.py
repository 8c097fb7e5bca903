"""Whether a task's best score is better than the others by more than chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from clipbench.analysis.answers import Answers, differences_by_cluster, shared_samples
from clipbench.analysis.leaderboard.board import Board, GroupMean, Score
from clipbench.analysis.leaderboard.confusion import has_log
from clipbench.analysis.leaderboard.logs import UNREADABLE, BoardLogs
from clipbench.analysis.standings import SIGNIFICANT
from clipbench.analysis.statistics import holm, sign_flip_test

LEVEL = SIGNIFICANT
"""Differences with a smaller p-value are called significant."""


def p_values_against_best(board: Board, logs: BoardLogs | None = None) -> dict[tuple[str, str], float]:
    """Test each ranked score against the best one of its task, and each mean against the best one of its group.

    Where both runs logged their samples, the test is the exact one that flips whole images (``sign_flip_test``).
    Otherwise it is the two-sided z-test of two independent means; the models saw the same samples, so it finds fewer
    differences. The p-values are corrected over the whole board (Holm 1979).

    Args:
        board: The board.
        logs: Its logs, if they are read elsewhere too.

    Returns:
        By model and task, or by model and group. The best of a column, and scores without a standard error, have no
        entry.
    """
    columns: dict[str, list[Score | GroupMean]] = {}
    for task in board.tasks:
        columns[task] = [score for score in board.scores if score.task == task and score.rank is not None]
    for group in {mean.group for mean in board.means}:
        columns[group] = [mean for mean in board.means if mean.group == group and mean.rank is not None]
    found: dict[tuple[str, str], float] = {}
    logs = logs or BoardLogs(board)
    for name, items in columns.items():
        for model, p_value in _of_column(items, logs).items():
            found[model, name] = p_value
    return dict(zip(found, holm(list(found.values())), strict=True))


def _of_column(items: Sequence[Score | GroupMean], logs: BoardLogs) -> dict[str, float]:
    """Model to its uncorrected p-value."""
    if len(items) < 2:
        return {}
    best = max(items, key=lambda item: item.value)
    answers = {item.model: read for item in items if isinstance(item, Score) and (read := _answers(item, logs))}
    found = {}
    for item in items:
        if item is not best:
            p_value = _paired(answers, best.model, item.model)
            p_value = _unpaired(best, item) if p_value is None else p_value
            if p_value is not None:
                found[item.model] = p_value
    return found


def _answers(score: Score, logs: BoardLogs) -> Answers | None:
    """A score's logged answers; None where they were not logged or cannot be read."""
    if not has_log(score):
        return None
    try:
        return logs.answers(score)
    except UNREADABLE:  # the page's gallery reports it
        return None


def _paired(answers: Mapping[str, Answers], one: str, other: str) -> float | None:
    if one not in answers or other not in answers:
        return None
    shared = shared_samples(answers[one], answers[other])
    if not shared:
        return None
    return sign_flip_test(differences_by_cluster(answers[one], answers[other], shared)[0])


def _unpaired(one: Score | GroupMean, other: Score | GroupMean) -> float | None:
    """The two-sided z-test of two independent means."""
    if one.stderr is None or other.stderr is None:
        return None
    difference, stderr = abs(one.value - other.value), math.hypot(one.stderr, other.stderr)
    if stderr == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(difference / stderr / math.sqrt(2))


def significant_leaders(p_values: Mapping[tuple[str, str], float], board: Board) -> dict[str, str]:
    """Task or group to its best model, where all others of at least one are significantly worse.

    Args:
        p_values: As from ``p_values_against_best``.
        board: The board.
    """
    columns: dict[str, list[Score | GroupMean]] = {}
    ranked: list[Score | GroupMean] = [*board.scores, *board.means]
    for item in ranked:
        if item.rank is not None:
            columns.setdefault(item.task if isinstance(item, Score) else item.group, []).append(item)
    leaders = {}
    for name, items in columns.items():
        best = max(items, key=lambda item: item.value)
        others = [p_values.get((item.model, name), 1.0) for item in items if item is not best]
        if others and max(others) < LEVEL:
            leaders[name] = best.model
    return leaders
