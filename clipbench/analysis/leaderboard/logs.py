"""The sample logs of a board's results: each is read once for everything that is computed from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from clipbench.analysis.answers import Answers, logged_answers
from clipbench.analysis.leaderboard.board import Board, Score
from clipbench.analysis.leaderboard.confusion import Confusion, answered, confusion, has_log, tabulate
from clipbench.errors import ResultError
from clipbench.results.files import samples_path
from clipbench.results.sample_log import logged_samples, samples_at
from clipbench.task_types import Task
from clipbench.task_types.registry import find_task_type
from clipbench.types import LoggedSample

Confused = dict[tuple[str, str], list[str]]
"""The right answer and the given one to the samples where that was so."""

UNREADABLE = (ResultError, LookupError, TypeError, ValueError)
"""What ``BoardLogs`` raises: a log is missing, a line of it cannot be read or lacks what the task type logs."""


class BoardLogs:
    """Reads logs when they are asked for, and keeps of each sample what a page needs: about 200 bytes.

    Args:
        board: The board.
        include_path: As in ``clipbench.task_types.registry.known_tasks``.
    """

    def __init__(self, board: Board, include_path: Sequence[str | Path] = ()) -> None:
        self._board, self._include_path = board, include_path
        self._read: dict[tuple[str, str], tuple[Answers, Confused]] = {}

    def runs(self, task: str) -> dict[str, Score]:
        """Models to their comparable scores of a task whose samples were logged."""
        scores = [score for score in self._board.scores if score.task == task and score.comparable]
        return {score.model: score for score in scores if has_log(score)}

    def answers(self, score: Score) -> Answers:
        """The answers to the samples that the primary metric counts; raises ``UNREADABLE``."""
        return self._of(score)[0]

    def confused(self, score: Score) -> Confused:
        """Of these samples those with answers to confuse, which not every task type has; raises ``UNREADABLE``."""
        answers, confused = self._of(score)
        return {pair: [name for name in names if name in answers.places] for pair, names in confused.items()}

    def samples(self, score: Score, names: Iterable[str]) -> dict[str, LoggedSample]:
        """Those of the named samples that ``answers`` has, by name; raises ``UNREADABLE``."""
        answers = self.answers(score)
        offsets = [int(answers.offsets[answers.places[name]]) for name in names if name in answers.places]
        return {sample.id: sample for sample in samples_at(Path(score.file), score.task, offsets)}

    def _of(self, score: Score) -> tuple[Answers, Confused]:
        key = score.file, score.task
        if key not in self._read:
            task_type, confused = self._task_type(score), Confused()

            def note(sample: LoggedSample) -> None:
                if (pair := answered(sample, task_type)) is not None:
                    confused.setdefault(pair, []).append(sample.id)

            self._read[key] = logged_answers(Path(score.file), score.task, score.metric, note), confused
        return self._read[key]

    def add_confusions(self, *, keep: bool = True) -> None:
        """Fill in ``Score.confusion`` where samples were logged; what cannot be read is said in ``Board.notes``.

        Args:
            keep: Logs will be asked for other things too; otherwise nothing of them is kept in memory.
        """
        for score in self._board.scores:
            if score.confusion or not has_log(score):
                continue
            try:
                score.confusion = self._confusion(score, keep=keep and score.comparable)
            except UNREADABLE as error:
                path = samples_path(Path(score.file), score.task)
                self._board.notes.append(f"{path}: unreadable samples, so no confusions: {error}")

    def _confusion(self, score: Score, *, keep: bool) -> Confusion:
        if keep:
            with suppress(*UNREADABLE):  # it may be that only the answers cannot be compared
                return tabulate({pair: len(names) for pair, names in self._of(score)[1].items()})
        return confusion(logged_samples(Path(score.file), score.task), self._task_type(score))

    def _task_type(self, score: Score) -> type[Task]:
        return find_task_type(self._board.tasks[score.task].task_type, self._include_path)
