"""The sample logs of a board's results: each is read once for everything that is computed from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from clipbench.analysis.comparison import Answer, logged_answers
from clipbench.analysis.leaderboard.board import Board, Score
from clipbench.analysis.leaderboard.confusion import has_log
from clipbench.task_types.registry import find_task_type
from clipbench.types import LoggedSample

Confusions = dict[str, tuple[str, str]]


class BoardLogs:
    """Reads logs when they are asked for.

    Args:
        board: The board.
        include_path: As in ``clipbench.task_types.registry.known_tasks``.
    """

    def __init__(self, board: Board, include_path: Sequence[str | Path] = ()) -> None:
        self._board, self._include_path = board, include_path
        self._read: dict[tuple[str, str], tuple[dict[str, Answer], Confusions]] = {}

    def runs(self, task: str) -> dict[str, Score]:
        """Models to their comparable scores of a task whose samples were logged."""
        scores = [score for score in self._board.scores if score.task == task and score.comparable]
        return {score.model: score for score in scores if has_log(score)}

    def answers(self, score: Score) -> Mapping[str, Answer]:
        """Sample to answer, for the samples that the primary metric counts.

        Raises:
            ResultError: The log is missing, or a line of it cannot be read.
            LookupError, TypeError, ValueError: A line lacks what the task type logs.
        """
        return self._of(score)[0]

    def confusions(self, score: Score) -> Mapping[str, tuple[str, str]]:
        """Sample to the right answer and the given one, where the task type has such answers; raises as ``answers``."""
        return self._of(score)[1]

    def _of(self, score: Score) -> tuple[dict[str, Answer], Confusions]:
        key = score.file, score.task
        if key not in self._read:
            task_type = find_task_type(self._board.tasks[score.task].task_type, self._include_path)
            confusions: Confusions = {}

            def note(sample: LoggedSample) -> None:
                if (pair := task_type.confusion(sample)) is not None:
                    confusions[sample.id] = pair

            self._read[key] = logged_answers(Path(score.file), score.task, score.metric, note), confusions
        return self._read[key]
