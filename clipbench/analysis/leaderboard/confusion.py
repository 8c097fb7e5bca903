"""Which answers are given instead of the right one, counted from logged samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from clipbench.analysis.leaderboard.board import Score
from clipbench.results.files import samples_path
from clipbench.task_types import Task
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
    counts: Counter[tuple[str, str]] = Counter()
    for sample in samples:
        pair = answered(sample, task_type)
        if pair is None:
            break
        counts[pair] += 1
    return tabulate(counts)


def answered(sample: LoggedSample, task_type: type[Task]) -> tuple[str, str] | None:
    """The right answer and the given one; None if the task type has no such answers.

    Raises:
        TypeError: One of them is not text.
        LookupError, ValueError: The sample lacks what the task type logs.
    """
    pair = task_type.confusion(sample)
    if pair is not None and not (isinstance(pair[0], str) and isinstance(pair[1], str)):
        raise TypeError(f"sample {sample.id}: an answer that is not text")
    return pair


def tabulate(counts: Mapping[tuple[str, str], int]) -> Confusion:
    """Counts of pairs, of the right answer and the given one, as a table of words that a file can hold."""
    table: Confusion = {}
    for (right, answer), count in counts.items():
        row = table.setdefault(writable(right), {})
        row[writable(answer)] = row.get(writable(answer), 0) + count
    return table


def has_log(score: Score) -> bool:
    """Whether samples were logged with a score, and the log still exists."""
    results = Path(score.file)
    return results.name.startswith("results_") and is_regular_file(samples_path(results, score.task))
