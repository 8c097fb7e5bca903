"""A board as the page's scripts draw it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clipbench.analysis.leaderboard.board import Board, GroupMean, Score
from clipbench.analysis.leaderboard.estimate import Estimate
from clipbench.analysis.leaderboard.gallery import Gallery
from clipbench.analysis.leaderboard.lineage import base_of, finetuned_of
from clipbench.analysis.leaderboard.logs import BoardLogs
from clipbench.analysis.leaderboard.significance import p_values_against_best, significant_leaders
from clipbench.analysis.leaderboard.summary import Card
from clipbench.analysis.leaderboard.tables import flag_marks, ordered_models
from clipbench.task_types.registry import find_task_type, known_tasks

_METRICS = {"acc": "accuracy", "t2i": "text → image", "i2t": "image → text", "text_acc": "text score"}


def page_data(
    board: Board,
    cards: Sequence[Card],
    gallery: Gallery,
    logs: BoardLogs | None = None,
    include_path: Sequence[str | Path] = (),
    pages: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What the page holds as JSON.

    Args:
        board: The board.
        cards: Of its measured models.
        gallery: Samples with their images.
        logs: The board's logs, if they are read elsewhere too.
        include_path: As in ``clipbench.task_types.registry.known_tasks``.
        pages: Keys of models, and tasks, to addresses of pages of their own.

    Returns:
        ``models`` in the order of ``ordered_models``, by whose place everything else names them; ``tasks`` and
        ``means`` with their ``scores``; ``gallery`` and ``images``.
    """
    order = ordered_models(board)
    place = {key: index for index, key in enumerate(order)}
    short = dict(zip(order, short_labels([board.models[key].label for key in order]), strict=True))
    card_of = {card.model: card for card in cards}
    leaders = significant_leaders(p_values_against_best(board, logs), board)
    models = {key: _model(board, key, short[key], place, card_of.get(key)) for key in order}
    tasks = _tasks(board, place, leaders, include_path)
    for name, address in (pages or {}).items():
        (models.get(name) or tasks[name])["page"] = address
    return {
        "models": list(models.values()),
        "tasks": tasks,
        "means": _means(board.means, place, leaders),
        "gallery": {
            task: [_placed(sample, place) for sample in found] for task, found in gallery.samples.items() if found
        },
        "images": gallery.images,
    }


def short_labels(labels: Sequence[str]) -> list[str]:
    """Labels without the owner where that leaves them distinct.

    Examples:
        >>> short_labels(["openai/clip", "me/clip", "me/tuned"])
        ['openai/clip', 'me/clip', 'tuned']
    """
    last = [label.rstrip("/").rsplit("/", 1)[-1] or label for label in labels]
    counts = Counter(last)
    return [part if counts[part] == 1 else label for part, label in zip(last, labels, strict=True)]


def metric_name(metric: str) -> str:
    """A metric for people.

    Examples:
        >>> metric_name("t2i_recall@5"), metric_name("acc")
        ('text → image R@5', 'accuracy')
    """
    way, _, cutoff = metric.partition("_recall@")
    return f"{_METRICS.get(way, way)} R@{cutoff}" if cutoff else _METRICS.get(metric, metric.replace("_", " "))


def task_titles(board: Board, include_path: Sequence[str | Path] = ()) -> dict[str, tuple[str, str]]:
    """Task to the titles of its data set and its part; those of a task that is not known here follow from its name."""
    known = {task.name: task for task in known_tasks(include_path)}
    found = {}
    for name, facts in board.tasks.items():
        task = known.get(name)
        dataset = (task.dataset.title if task else "") or (facts.dataset or name).replace("_", " ")
        found[name] = dataset, task.part if task else facts.concept or name.replace("_", " ")
    return found


def _model(board: Board, key: str, short: str, place: Mapping[str, int], card: Card | None) -> dict[str, Any]:
    facts = board.models[key]
    base, finetuned = base_of(board, key), finetuned_of(board, key)
    return {
        "label": facts.label,
        "short": short,
        "published": facts.published,
        "rank": card.mean_rank if card else None,
        "above": card.above_chance.value if card and card.above_chance else None,
        "base": place[base] if base else None,
        "finetuned": place[finetuned] if finetuned else None,
        "alpha": facts.alpha,
    }


def _tasks(
    board: Board, place: Mapping[str, int], leaders: Mapping[str, str], include_path: Sequence[str | Path]
) -> dict[str, dict[str, Any]]:
    titles = task_titles(board, include_path)
    tasks: dict[str, dict[str, Any]] = {}
    for name, facts in board.tasks.items():
        tasks[name] = {
            "title": " · ".join(titles[name]),
            "dataset": titles[name][0],
            "part": titles[name][1],
            "concept": facts.concept,
            "task_type": facts.task_type,
            "whole_set": find_task_type(facts.task_type, include_path).whole_set,
            "metric": metric_name(facts.metric),
            "blind": None,
            "leader": place[leaders[name]] if name in leaders else None,
            "scores": {},
        }
    for score in board.scores:
        task = tasks[score.task]
        if score.floor is not None and (score.comparable or task["blind"] is None):
            task["blind"] = round(score.floor, 6)
        task["scores"][place[score.model]] = _score(score)
    return tasks


def _score(score: Score) -> dict[str, Any]:
    samples = "n unknown" if score.n is None else f"n = {score.n:,}"
    rank = "" if score.rank is None else f", rank {score.rank}"
    chance = "" if score.chance is None else f", chance {100 * score.chance:.1f}"
    blind = "".join(f", {rule.replace('_', ' ')} {100 * share:.1f}" for rule, share in score.blind.items())
    return {
        "value": score.value,
        "reach": Estimate(score.value, score.stderr).reach,
        "chance": score.chance,
        "blind": score.floor,
        "heat": _heat(score),
        "rank": score.rank,
        "marks": flag_marks(score),
        "apart": score.rank is None and not score.published,
        "facts": f"{metric_name(score.metric)}, {samples}{chance}{blind}{rank}; {score.date[:10] or score.file}",
        "breakdown": {part: [each.n, each.value] for part, each in score.breakdown.items()},
        "confusion": _indexed(score.confusion),
    }


def _heat(score: Score) -> float:
    """From -1 (all wrong) over 0 (chance) to 1 (all right)."""
    if score.chance is None:
        return round(score.value, 3)
    room = 1 - score.chance if score.value >= score.chance else score.chance
    return round((score.value - score.chance) / room, 3) if room else 0.0


def _means(
    means: Sequence[GroupMean], place: Mapping[str, int], leaders: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for mean in means:
        group = found.setdefault(mean.group, {"leader": None, "scores": {}})
        if leaders.get(mean.group) == mean.model:
            group["leader"] = place[mean.model]
        facts = f"mean over {mean.tasks} tasks{'' if mean.rank is None else f', rank {mean.rank}'}"
        reach = Estimate(mean.value, mean.stderr).reach
        group["scores"][place[mean.model]] = {"value": mean.value, "reach": reach, "marks": "", "facts": facts}
    return found


def _indexed(confusion: Mapping[str, Mapping[str, int]]) -> dict[str, Any] | None:
    """Keywords once, and ``[row, column, count]``: a third of the size."""
    if not confusion:
        return None
    words = sorted({*confusion, *(word for row in confusion.values() for word in row)})
    counts = [
        [words.index(word), words.index(other), count]
        for word, row in confusion.items()
        for other, count in row.items()
    ]
    return {"words": words, "counts": counts}


def _placed(sample: Mapping[str, Any], place: Mapping[str, int]) -> dict[str, Any]:
    answers = {place[model]: answer for model, answer in sample["answers"].items() if model in place}
    return {**sample, "answers": answers}
