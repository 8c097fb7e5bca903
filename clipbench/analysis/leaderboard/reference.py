"""The published figures as a board of quoted rows."""

from __future__ import annotations

from clipbench.analysis.leaderboard.board import Board, ModelFacts, Score, TaskFacts
from clipbench.analysis.published import published_figures
from clipbench.metrics import chance_corrected
from clipbench.results import Measure


def reference_board() -> Board:
    """The published figures as a board; every score in it has ``published`` set."""
    board = Board()
    for figure in published_figures():
        key = f"published: {figure.model}"
        concept = figure.concept if figure.concept and figure.task.endswith(figure.concept) else None
        board.models[key] = ModelFacts(name=f"{figure.model} (published)", published=True)
        known = board.tasks.get(figure.task)
        board.tasks[figure.task] = TaskFacts(
            version=1,
            task_type=figure.task_type,
            metric=figure.metric,
            concept=concept or (known.concept if known else None),
        )
        board.scores.append(
            Score(
                model=key,
                task=figure.task,
                version=1,
                metric=figure.metric,
                value=figure.value,
                n=figure.n,
                chance=figure.chance,
                centred=None if figure.chance is None else chance_corrected(figure.value, figure.chance),
                metrics={name: Measure(value=value) for name, value in figure.values.items()},
                published=True,
                file=figure.source,
            )
        )
    return board
