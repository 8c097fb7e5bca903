"""By how much two models of a board differ on a task."""

from __future__ import annotations

import math

import numpy as np

from clipbench.analysis.answers import differences_by_cluster, shared_samples
from clipbench.analysis.leaderboard.board import Score
from clipbench.analysis.leaderboard.confusion import has_log
from clipbench.analysis.leaderboard.estimate import Estimate
from clipbench.analysis.leaderboard.logs import UNREADABLE, BoardLogs


def difference(one: Score, other: Score, logs: BoardLogs | None = None) -> Estimate:
    """One model's score less another's on the same task.

    The standard error is that of the paired differences, clustered by image, if both runs logged the same samples;
    otherwise scores are taken as independent, which overstates it.

    Args:
        one: A score.
        other: The score that is subtracted.
        logs: Where logged samples are read; None to take scores as independent.
    """
    value = one.value - other.value
    stderr = _paired_stderr(one, other, logs) if logs else None
    if stderr is None and one.stderr is not None and other.stderr is not None:
        stderr = math.hypot(one.stderr, other.stderr)
    return Estimate(value, stderr)


def _paired_stderr(one: Score, other: Score, logs: BoardLogs) -> float | None:
    if not (has_log(one) and has_log(other)):
        return None
    try:
        ours, theirs = logs.answers(one), logs.answers(other)
    except UNREADABLE:  # the gallery reports it
        return None
    shared = shared_samples(ours, theirs)
    if not len(shared) == len(ours) == len(theirs):
        return None
    sums, sizes = differences_by_cluster(ours, theirs, shared)
    if len(sums) < 2:
        return None
    squares = float(np.square(sums - sizes * sums.sum() / sizes.sum()).sum())
    return math.sqrt(len(sums) / (len(sums) - 1) * squares) / len(shared)
