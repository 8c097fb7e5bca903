"""The pages of a site as HTML: one for each model, one for each task. They need no script."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined, Template

from clipbench.analysis.leaderboard.board import Board, Score
from clipbench.analysis.leaderboard.estimate import Estimate
from clipbench.analysis.leaderboard.logs import BoardLogs
from clipbench.analysis.leaderboard.page import human_date, percent, signed
from clipbench.analysis.leaderboard.page_data import metric_name, short_labels, task_titles
from clipbench.analysis.leaderboard.significance import p_values_against_best, significant_leaders
from clipbench.analysis.leaderboard.summary import Summary
from clipbench.analysis.leaderboard.tables import ordered_models
from clipbench.analysis.site.cards import Sheet
from clipbench.results.files import sanitize
from clipbench.task_types.registry import known_tasks

_STYLES = ("leaderboard/leaderboard.css", "contact_sheet/sample.css", "site.css")


def model_path(key: str) -> str:
    """Where a model's page is in the site; the weights' digest in the key tells namesakes apart."""
    return f"models/{sanitize(key)}.html"


def task_path(task: str) -> str:
    """Where a task's page is in the site."""
    return f"tasks/{task}.html"


def stylesheet() -> str:
    """The style of all pages: scores look as on the leaderboard, and cards as on a contact sheet."""
    loader, environment = _loader(), Environment(autoescape=True)
    return "".join(loader.get_source(environment, name)[0] for name in _STYLES)


class Pages:
    """Renders the pages of a board.

    Args:
        board: The board.
        title: The site's heading.
        logs: The board's logs, on which differences are tested.
        include_path: As in ``clipbench.task_types.registry.known_tasks``.
    """

    def __init__(
        self, board: Board, title: str, logs: BoardLogs, include_path: Sequence[str | Path] = ()
    ) -> None:  # fmt: skip
        self._board, self._title, self._logs = board, title, logs
        self._tasks = {task.name: task for task in known_tasks(include_path)}
        self._titles = {task: " · ".join(parts) for task, parts in task_titles(board, include_path).items()}
        self._labels = {key: facts.label for key, facts in board.models.items()}
        self._short = dict(zip(self._labels, short_labels(list(self._labels.values())), strict=True))
        self._cards = {card.model: card for card in Summary(board, logs).cards()}
        ranked = [score for score in board.scores if score.rank is not None]
        self._ranked = Counter(score.task for score in ranked)
        self._best = {score.task: score for score in ranked if score.rank == 1}
        self._leaders = significant_leaders(p_values_against_best(board, logs), board)

    def model_page(self, model: str, sheets: Mapping[str, Sheet]) -> str:
        """A model in short, its scores, and for each task some of its mistakes.

        Args:
            model: A key of ``board.models``.
            sheets: Task to mistakes.
        """
        scores = [score for score in self._board.scores if score.model == model]
        rows = [{**self._row(score), "best": self._best.get(score.task)} for score in scores]
        return self._template("model.html").render(
            model=model, facts=self._board.models[model], card=self._cards.get(model), rows=rows, sheets=sheets
        )

    def task_page(self, task: str, hardest: Sequence[Mapping[str, Any]]) -> str:
        """What a task is, all models' scores on it, and samples that most of them get wrong.

        Args:
            task: A key of ``board.tasks``.
            hardest: Samples, as from ``clipbench.analysis.site.cards.hardest_cards``.
        """
        found = {score.model: score for score in self._board.scores if score.task == task}
        scores = sorted((found[model] for model in ordered_models(self._board) if model in found), key=_place)
        return self._template("task.html").render(
            task=task, facts=self._board.tasks[task], score=scores[0], rows=[self._row(score) for score in scores],
            hardest=hardest, about=self._about(task), data=self._tasks[task].dataset if task in self._tasks else None,
        )  # fmt: skip

    def _about(self, task: str) -> str:
        """The first paragraph of the task's description, and its caveat; nothing of a task that is not known here."""
        if task not in self._tasks:
            return ""
        described = inspect.getdoc(type(self._tasks[task])) or ""
        return " ".join([*described.partition("\n\n")[0].split(), self._tasks[task].note]).strip()

    def _row(self, score: Score) -> dict[str, Any]:
        """A score, with its rank among how many."""
        return {
            "score": score,
            "estimate": Estimate(score.value, score.stderr),
            "ranked": self._ranked[score.task],
            "leads": self._leaders.get(score.task) == score.model,
        }

    def _template(self, name: str) -> Template:
        return self._environment.get_template(name)

    @cached_property
    def _environment(self) -> Environment:
        environment = Environment(loader=_loader(), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        environment.filters |= {"percent": percent, "signed": signed, "metric": metric_name}
        environment.globals |= {
            "board": self._board, "title": self._title, "date": human_date(self._board.date), "label": self._labels,
            "short": self._short, "task_title": self._titles, "model_path": model_path, "task_path": task_path,
        }  # fmt: skip
        return environment


def _place(score: Score) -> tuple[bool, bool, float]:
    """Ranked scores first, published ones last."""
    return score.published, score.rank is None, -score.value


def _loader() -> ChoiceLoader:
    own = PackageLoader("clipbench.analysis.site", "templates")
    names = ("leaderboard", "contact_sheet")
    return ChoiceLoader([own, PrefixLoader({name: PackageLoader(f"clipbench.analysis.{name}") for name in names})])
