"""Which answers are given instead of the right one, counted from logged samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from clipbench.analysis.leaderboard.board import Score, TaskFacts
from clipbench.errors import ResultError
from clipbench.results.files import samples_path
from clipbench.results.sample_log import logged_samples
from clipbench.task_types import Task
from clipbench.task_types.registry import find_task_type
from clipbench.types import LoggedSample
from clipbench.utils.json_files import is_regular_file
from clipbench.utils.text import writable

Confusion = dict[str, dict[str, int]]


def confusion(samples: Iterable[LoggedSample], task_type: type[Task]) -> Confusion:
    """Count the answers.

    Args:
        samples: Logged samples of one task.
        task_type: Its type, whose ``Task.confusion`` says what was answered.

    Returns:
        The right answer to the given one to how often; empty if the task type has no such answers.
    """
    counts: Confusion = {}
    for sample in samples:
        pair = task_type.confusion(sample)
        if pair is None:
            break
        if not all(isinstance(word, str) for word in pair):
            raise TypeError(f"sample {sample.id}: an answer that is not text")
        right, answer = map(writable, pair)
        row = counts.setdefault(right, {})
        row[answer] = row.get(answer, 0) + 1
    return counts


def has_log(score: Score) -> bool:
    """Whether samples were logged with a score, and the log still exists."""
    results = Path(score.file)
    return results.name.startswith("results_") and is_regular_file(samples_path(results, score.task))


def add_confusions(
    scores: Sequence[Score], tasks: Mapping[str, TaskFacts], include_path: Sequence[str | Path] = ()
) -> list[str]:
    """Fill in ``Score.confusion`` where samples were logged.

    Args:
        scores: Scores of a board.
        tasks: The board's tasks.
        include_path: As in ``clipbench.task_types.registry.known_tasks``.

    Returns:
        What could not be read, one line each.
    """
    notes = []
    for score in scores:
        if score.confusion or not has_log(score):
            continue
        task_type = find_task_type(tasks[score.task].task_type, include_path)
        path = samples_path(Path(score.file), score.task)
        try:
            score.confusion = confusion(logged_samples(Path(score.file), score.task), task_type)
        except (ResultError, LookupError, TypeError, ValueError) as error:
            notes.append(f"{path}: unreadable samples, so no confusions: {error}")
    return notes
