"""A board in short: a card per model, and the best model per concept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from clipbench.analysis.leaderboard.board import Board, Score
from clipbench.analysis.leaderboard.differences import difference
from clipbench.analysis.leaderboard.estimate import Estimate, mean_estimate
from clipbench.analysis.leaderboard.lineage import base_of
from clipbench.analysis.leaderboard.logs import BoardLogs
from clipbench.analysis.leaderboard.significance import LEVEL
from clipbench.analysis.leaderboard.tables import ordered_models
from clipbench.analysis.statistics import holm
from clipbench.task_types.registry import find_task_type


@dataclass
class Card:
    """One model in short.

    Attributes:
        model: Key of ``Board.models``.
        mean_rank: The mean of its ranks; None without any.
        place: From 1, by ``mean_rank``.
        tasks: Its ranked scores that are no retrieval.
        of_tasks: How many such tasks the board has.
        above_chance: The mean of its chance-corrected scores over these tasks.
        concepts: Concept to the mean of the chance-corrected scores over all its tasks, the best first.
        retrieval: Retrieval task to the primary metric.
        base: Key of the model that it was fine-tuned from, if that is on the board.
        changes: Concept or retrieval task to its score less its base's: a mean over the tasks that both have.
    """

    model: str
    mean_rank: float | None = None
    place: int | None = None
    tasks: int = 0
    of_tasks: int = 0
    above_chance: Estimate | None = None
    concepts: dict[str, Estimate] = field(default_factory=dict)
    retrieval: dict[str, Estimate] = field(default_factory=dict)
    base: str | None = None
    changes: dict[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class ConceptLeader:
    """The best model at a concept.

    Attributes:
        concept: The concept.
        model: Key of the model with the highest mean accuracy over all tasks of the concept.
        value: That mean.
        next: Key of the second.
        ahead: The lead on it.
        significant: Whether the lead on every other model is more than chance, corrected by Holm.
    """

    concept: str
    model: str
    value: float
    next: str
    ahead: Estimate
    significant: bool


class Summary:
    """What the head of a board's page says.

    Args:
        board: The board.
        logs: Its logs; without them scores are compared by their standard errors alone.
    """

    def __init__(self, board: Board, logs: BoardLogs | None = None) -> None:
        self.board, self._logs = board, logs
        self._whole = {task for task, facts in board.tasks.items() if find_task_type(facts.task_type).whole_set}
        self._scores: dict[str, dict[str, Score]] = {}
        for score in board.scores:
            if score.rank is not None:
                self._scores.setdefault(score.model, {})[score.task] = score

    def cards(self) -> list[Card]:
        """A card for each measured model, in the order of ``ordered_models``."""
        cards = [self._card(key) for key in ordered_models(self.board) if not self.board.models[key].published]
        ranks = sorted(card.mean_rank for card in cards if card.mean_rank is not None)
        for card in cards:
            card.place = None if card.mean_rank is None else 1 + ranks.index(card.mean_rank)
        return cards

    def leaders(self) -> list[ConceptLeader]:
        """The best model at each concept, where two or more have all its tasks."""
        return [leader for concept in self.concepts() if (leader := self._leader(concept)) is not None]

    def concepts(self) -> dict[str, list[str]]:
        """Concept to its tasks, in the order of the board's tasks."""
        found: dict[str, list[str]] = {}
        for task, facts in self.board.tasks.items():
            if facts.concept and task not in self._whole:
                found.setdefault(facts.concept, []).append(task)
        return found

    def _card(self, key: str) -> Card:
        scores = self._scores.get(key, {})
        others = [task for task in self.board.tasks if task not in self._whole]
        centred = {task: _above_chance(scores[task]) for task in others if task in scores}
        ranks = [score.rank for score in scores.values() if score.rank is not None]
        concepts = {
            concept: mean_estimate(centred[task] for task in tasks)
            for concept, tasks in self.concepts().items()
            if all(task in scores for task in tasks)
        }
        base = base_of(self.board, key)
        return Card(
            model=key,
            mean_rank=sum(ranks) / len(ranks) if ranks else None,
            tasks=len(centred),
            of_tasks=len(others),
            above_chance=mean_estimate(centred.values()) if centred else None,
            concepts=dict(sorted(concepts.items(), key=lambda item: -item[1].value)),
            retrieval={task: Estimate(scores[task].value, scores[task].stderr) for task in self._whole_of(key)},
            base=base,
            changes=self._changes(key, base) if base else {},
        )

    def _whole_of(self, key: str) -> list[str]:
        return [task for task in self.board.tasks if task in self._whole and task in self._scores.get(key, {})]

    def _changes(self, key: str, base: str) -> dict[str, Estimate]:
        shared = self._scores.get(key, {}).keys() & self._scores.get(base, {}).keys()
        parts = {concept: [task for task in tasks if task in shared] for concept, tasks in self.concepts().items()}
        parts |= {task: [task] for task in self._whole_of(key) if task in shared}
        return {name: self._lead(key, base, tasks) for name, tasks in parts.items() if tasks}

    def _lead(self, one: str, other: str, tasks: Sequence[str]) -> Estimate:
        scores = ((self._scores[one][task], self._scores[other][task]) for task in tasks)
        return mean_estimate(difference(ours, theirs, self._logs) for ours, theirs in scores)

    def _leader(self, concept: str) -> ConceptLeader | None:
        tasks = self.concepts()[concept]
        means = {
            key: sum(scores[task].value for task in tasks) / len(tasks)
            for key, scores in self._scores.items()
            if all(task in scores for task in tasks)
        }
        if len(means) < 2:
            return None
        first, second, *_ = sorted(means, key=lambda key: -means[key])
        p_values = [self._lead(first, key, tasks).p_value for key in means if key != first]
        known = [p for p in p_values if p is not None]
        significant = len(known) == len(p_values) and max(holm(known)) < LEVEL
        return ConceptLeader(concept, first, means[first], second, self._lead(first, second, tasks), significant)


def _above_chance(score: Score) -> Estimate:
    """The score rescaled so that chance is 0; where chance is not known, as it is."""
    if score.centred is None or score.chance is None:
        return Estimate(score.value, score.stderr)
    return Estimate(score.centred, None if score.stderr is None else score.stderr / (1 - score.chance))
