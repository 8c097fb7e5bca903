"""Many runs into one board: which score counts, how it ranks, what contradicts it."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from itertools import groupby
from pathlib import Path

from clipbench.analysis.leaderboard.board import MIXED, Board, GroupMean, ModelFacts, Score, TaskFacts, read_board
from clipbench.analysis.leaderboard.logs import BoardLogs
from clipbench.analysis.leaderboard.reading import Gathered, gather
from clipbench.analysis.leaderboard.reference import reference_board
from clipbench.analysis.leaderboard.standards import Basis, compare_with_blind, find_standards, is_mixed, set_apart
from clipbench.evaluation.assembly import git_hash
from clipbench.metrics import mean_stderr
from clipbench.task_types.registry import group_members, known_tasks

_BOTH = 1e-9  # two values that differ by less are one value


def build_leaderboard(
    paths: Sequence[str | Path],
    *,
    board: str | Path | None = None,
    reference: bool = False,
    rank_mixed: bool = False,
    include_path: Sequence[str | Path] = (),
) -> Board:
    """Merge results into one board.

    Args:
        paths: Result files of ``clipbench eval``, folders of them, or boards.
        board: A board to merge into; it is only read, and need not exist yet. To write it back, hold its
            ``board_lock`` from before this call.
        reference: Add the published rows of the board's tasks; all of them where there are no other scores.
        rank_mixed: Also rank scores of other data, sample counts or task versions.
        include_path: As in ``clipbench.task_types.registry.known_tasks``: where further task types are.

    Returns:
        The board. Files that are no results, and tasks that have no numbers, are in ``refused``, by name; scores
        that do not compare with others' are flagged, and take no part in ranks and means.

    Raises:
        ResultError: A path is not there, none of the files could be used, or ``board`` is no board.
    """
    gathered = gather(paths)
    made = board_of(gathered, board=board, reference=reference, rank_mixed=rank_mixed, include_path=include_path)
    BoardLogs(made, include_path).add_confusions(keep=False)
    return made


def board_of(
    gathered: Gathered,
    *,
    board: str | Path | None = None,
    reference: bool = False,
    rank_mixed: bool = False,
    include_path: Sequence[str | Path] = (),
) -> Board:
    """``build_leaderboard`` from inputs that have already been read; ``BoardLogs.add_confusions`` does the rest."""
    if board is not None and Path(board).exists():
        gathered.add_board(read_board(Path(board)))
    gathered.require_scores()
    if reference:
        _add_reference(gathered)
    return merge(gathered, include_path, rank_mixed=rank_mixed)


def _add_reference(gathered: Gathered) -> None:
    published = reference_board()
    tasks = {score.task for score in gathered.scores if not score.published}
    if tasks:
        published.scores = [score for score in published.scores if score.task in tasks]
        kept = {score.model for score in published.scores}
        published.models = {key: facts for key, facts in published.models.items() if key in kept}
        published.tasks = {name: facts for name, facts in published.tasks.items() if name in tasks}
    gathered.add_board(published)


def merge(gathered: Gathered, include_path: Sequence[str | Path] = (), *, rank_mixed: bool = False) -> Board:
    """Choose among runs, flag, rank and average; logs are not read.

    For each model and task the most recent comparable run counts; if none is, the most recent. All
    runs of a model and task are in the history where there are several.
    """
    versions = _newest_versions(gathered.scores)
    standards = find_standards(gathered.scores, versions, include_path)
    runs = sorted(_distinct(gathered.scores, versions, standards), key=_order, reverse=True)
    runs.sort(key=lambda score: (score.task, score.model))
    scores: list[Score] = []
    history: list[Score] = []
    notes: list[str] = []
    for _, group in groupby(runs, key=lambda score: (score.task, score.model)):
        several = list(group)
        notes += _contradictions(several)
        scores.append(several[0])
        if len(several) > 1:
            history += sorted(map(_bare, [several[0].model_copy(), *several[1:]]), key=_date, reverse=True)
    models = {key: gathered.models[key] for key in sorted({score.model for score in scores})}
    tasks = {task: gathered.tasks[task, version] for task, version in sorted(versions.items())}
    notes += label_models(models)
    notes += set_apart(scores, models, standards, rank_mixed=rank_mixed)
    notes += compare_with_blind(scores, models)
    ranked = [score for score in scores if score.comparable or (rank_mixed and is_mixed(score))]
    _rank(ranked, lambda score: score.task)
    return Board(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        clipbench_version=metadata.version("clipbench"),
        git_hash=git_hash(),
        models=models,
        tasks=tasks,
        scores=scores,
        means=_means(ranked, tasks),
        history=history,
        notes=notes,
        refused=gathered.refused,
    )


def _newest_versions(scores: Iterable[Score]) -> dict[str, int]:
    """Of each task; published figures name no version and count only where nothing was measured."""
    versions: dict[str, int] = {}
    for score in sorted(scores, key=lambda score: score.published):
        known = versions.setdefault(score.task, score.version)
        if not score.published:
            versions[score.task] = max(known, score.version)
    return versions


def _distinct(scores: Iterable[Score], versions: Mapping[str, int], standards: Mapping[str, Basis]) -> Iterable[Score]:
    """Each run once, with fresh flags, without its rank."""
    found: dict[tuple[object, ...], Score] = {}
    for score in scores:
        flags = [flag for flag in score.flags if flag not in {*MIXED, "contradicted"}]
        if score.version < versions[score.task] and not score.published:
            flags.append("old_version")
        elif not score.published and (score.n, score.data) != standards.get(score.task, (score.n, score.data)):
            flags += [] if flags else ["other_data"]
        score.flags, score.rank = flags, None  # in place: copies of many thousand runs take seconds
        identity = (score.model, score.task, score.version, score.date, score.value, score.n, score.data, tuple(flags))
        known = found.get(identity)
        if known is None or len(score.breakdown) + len(score.confusion) >= len(known.breakdown) + len(known.confusion):
            found[identity] = score
    return found.values()


def _order(score: Score) -> tuple[object, ...]:
    """Comparable before flagged, then by date; what is left makes the order independent of the input's."""
    return not score.flags, score.version, "limited" not in score.flags, score.date, score.value, score.file


def _bare(score: Score) -> Score:
    score.breakdown, score.confusion = {}, {}
    return score


def _date(score: Score) -> str:
    return score.date


def _contradictions(runs: list[Score]) -> list[str]:
    """Flag the run that counts if another of the same weights, task version and data differs from it.

    Devices round differently, which may turn a sample or two; more than two is a contradiction.
    """
    first, notes = runs[0], []
    for other in runs[1:]:
        same = (first.version, first.data, first.n) == (other.version, other.data, other.n)
        allowed = 2 / first.n if first.n and first.date != other.date else 0
        if same and not first.flags and not other.flags and abs(first.value - other.value) > allowed + _BOTH:
            notes.append(
                f"{first.model}, {first.task}: {first.file} ({first.date}) says {first.value:.4f},"
                f" {other.file} ({other.date}) says {other.value:.4f}, of the same weights on the same data"
            )
    if notes:
        first.flags = ["contradicted"]
    return notes


def label_models(models: dict[str, ModelFacts]) -> list[str]:
    """Give models of one name labels that tell them apart; returns a line for each such name."""
    counts = Counter(facts.name for facts in models.values())
    for key, facts in models.items():
        label = facts.name if counts[facts.name] == 1 else f"{facts.name} ({(facts.weights or '?')[:7]})"
        models[key] = facts.model_copy(update={"label": label})
    return [
        f"{name}: {count} different weights under this name; they have a row each"
        for name, count in counts.items()
        if count > 1
    ]


def _rank(items: Sequence[Score] | Sequence[GroupMean], column: Callable[..., str]) -> None:
    """Rank within columns from 1; equal values share a rank, and the next one is skipped."""
    values: dict[str, list[float]] = {}
    for item in items:
        values.setdefault(column(item), []).append(item.value)
    ordered = {name: sorted(found) for name, found in values.items()}
    for item in items:
        column_values = ordered[column(item)]
        item.rank = 1 + len(column_values) - bisect_right(column_values, item.value + _BOTH)


def _means(scores: Sequence[Score], tasks: Mapping[str, TaskFacts]) -> list[GroupMean]:
    """Means over the groups whose tasks share their primary metric, for models that have every task."""
    members = {group: set(names) for group, names in group_members(known_tasks()).items()}
    metrics = {task.name: task.primary_metric for task in known_tasks()}
    for name, facts in tasks.items():
        metrics[name] = facts.metric
        for group in facts.groups:
            members.setdefault(group, set()).add(name)
    of_model: dict[str, dict[str, Score]] = {}
    for score in scores:
        of_model.setdefault(score.model, {})[score.task] = score
    means = []
    for group, names in sorted(members.items()):
        if len({metrics[name] for name in names}) > 1:
            continue
        for model, found in of_model.items():
            if names <= found.keys():
                means.append(_mean(model, group, [found[name] for name in sorted(names)]))
    _rank(means, lambda mean: mean.group)
    return means


def _mean(model: str, group: str, scores: Sequence[Score]) -> GroupMean:
    stderrs = [score.stderr for score in scores if score.stderr is not None]
    return GroupMean(
        model=model,
        group=group,
        value=sum(score.value for score in scores) / len(scores),
        stderr=mean_stderr(stderrs) if len(stderrs) == len(scores) else None,
        tasks=len(scores),
    )
