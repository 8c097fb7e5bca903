"""Which keywords are mistaken for which, from the samples that ranking tasks log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clipbench.analysis.leaderboard.board import Score, TaskFacts
from clipbench.errors import ResultError
from clipbench.results.files import samples_path
from clipbench.results.sample_log import logged_samples

Confusion = dict[str, dict[str, int]]


def confusion(lines: Iterable[Mapping[str, Any]]) -> Confusion:
    """Count what is ranked first instead of each keyword.

    A sample that is tied counts for the other text, as it does in the accuracy.

    Args:
        lines: A ranking task's logged samples.

    Returns:
        Keyword to the keyword ranked first to how often; pairs that never occur are left out.

    >>> line = {"keyword": "red", "replacements": ["blue", "pink"], "scores": [0.1, 0.0, 0.3], "acc": 0.0}
    >>> confusion([line, {**line, "scores": [0.4, 0.0, 0.3], "acc": 1.0}])
    {'red': {'pink': 1, 'red': 1}}
    """
    counts: Confusion = {}
    for line in lines:
        others = line["scores"][1:]
        first = line["keyword"] if line["acc"] else line["replacements"][others.index(max(others))]
        row = counts.setdefault(line["keyword"], {})
        row[first] = row.get(first, 0) + 1
    return counts


def add_confusions(scores: Sequence[Score], tasks: Mapping[str, TaskFacts]) -> list[str]:
    """Fill in :attr:`Score.confusion` of ranking tasks whose samples lie beside their results.

    Returns:
        What could not be read, a line each.
    """
    notes = []
    for score in scores:
        if tasks[score.task].task_type != "ranking" or score.confusion or score.published:
            continue
        path = samples_path(Path(score.file), score.task)
        if path.is_file():
            try:
                score.confusion = confusion(logged_samples(Path(score.file), score.task))
            except (ResultError, LookupError, TypeError, ValueError) as error:
                notes.append(f"{path}: not the samples of a ranking task, so no confusions: {error}")
    return notes
