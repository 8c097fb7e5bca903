"""Which scores of a task may be ranked together: those over the same samples of the same data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from clipbench.analysis.leaderboard.board import MIXED, ModelFacts, Score
from clipbench.task_types.registry import known_tasks
from clipbench.utils.text import excerpt

Basis = tuple[int | None, str | None]
"""What a score is computed over: the number of samples, and the fingerprint of the data."""


def find_standards(
    scores: Iterable[Score], versions: Mapping[str, int], include_path: Sequence[str | Path]
) -> dict[str, Basis]:
    """For each task, the basis of its ranks: its expected number of samples, or else what most models have."""
    expected = {task.name: task.expected_n for task in known_tasks(include_path)}
    models: dict[str, dict[Basis, set[str]]] = {}
    for score in scores:
        whole = not score.published and not {"limited", "incomplete"}.intersection(score.flags)
        if whole and score.version == versions[score.task]:
            models.setdefault(score.task, {}).setdefault((score.n, score.data), set()).add(score.model)

    def weight(task: str, basis: Basis) -> tuple[bool, int, int, str]:
        n, data = basis
        return n is not None and n == expected.get(task), len(models[task][basis]), n or 0, data or ""

    return {task: max(bases, key=lambda basis: weight(task, basis)) for task, bases in models.items()}


def is_mixed(score: Score) -> bool:
    """Whether a score is complete but has another basis than the ranked ones, so that ``rank_mixed`` ranks it."""
    return not score.published and not set(score.flags) - {*MIXED, "contradicted"}


def set_apart(
    scores: Iterable[Score], models: Mapping[str, ModelFacts], standards: Mapping[str, Basis], *, rank_mixed: bool
) -> list[str]:
    """One line per task that lists the scores of other data than the ranked ones."""
    others: dict[str, list[str]] = {}
    for score in scores:
        if "other_data" in score.flags:
            others.setdefault(score.task, []).append(
                f"{models[score.model].label} ({_basis_text(score.n, score.data)})"
            )
    fate = "are ranked with them anyway" if rank_mixed else "have no rank (rank_mixed ranks them)"
    return [
        f"{task}: ranks are over {_basis_text(*standards[task])}; scores of other data or another number of samples"
        f" {fate}: {', '.join(names[:5])}{f' and {len(names) - 5:,} more' if len(names) > 5 else ''}"
        for task, names in others.items()
    ]


def compare_with_blind(scores: Sequence[Score], models: Mapping[str, ModelFacts]) -> list[str]:
    """One line per task that lists the scores not above the blind rules; published scores get the measured rules."""
    measured = {(score.task, score.metric): score.blind for score in scores if score.comparable and score.blind}
    below: dict[str, list[Score]] = {}
    for score in sorted(scores, key=lambda score: score.published):
        if score.published:
            score.blind = measured.get((score.task, score.metric), {})
        if score.below_blind:
            below.setdefault(score.task, []).append(score)
    return [f"{task}: {_below_text(found, models)}" for task, found in below.items()]


def _below_text(scores: Sequence[Score], models: Mapping[str, ModelFacts]) -> str:
    rule = max(scores[0].blind, key=scores[0].blind.__getitem__)
    names = [f"{models[score.model].label} ({score.value:.3f})" for score in scores]
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    fact = f"not above the best rule that sees no image ({rule} {scores[0].blind[rule]:.3f})"
    return f"{', '.join(names[:5])}{more} {'is' if len(names) == 1 else 'are'} {fact}"


def _basis_text(n: int | None, data: str | None) -> str:
    return f"n = {'?' if n is None else f'{n:,}'} of data {excerpt(data or '?', 12)}"
