"""The published figures: the paper's tables and those of sister benchmarks, as a board of quoted rows."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from clipbench.analysis.leaderboard.board import Board, Measure, ModelFacts, Score, TaskFacts
from clipbench.metrics import chance_corrected
from clipbench.utils.yaml import parse_yaml

_FILE = Path(__file__).parent / "reference.yaml"


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")

    table: str
    task: str
    task_type: str = "ranking"
    chance: float | None = None
    n: int | None = None


class _PaperRow(_Row):
    concept: str
    metric: str = "acc"
    Orig: float | None = None
    Clas: float | list[float]
    HN1: float | list[float]
    HN2: float | list[float] | None = None
    HN3: float | list[float] | None = None


class _SisterRow(_Row):
    acc: float
    text_acc: float | None = None
    group_acc: float | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    base_model: str
    ours: list[_PaperRow]
    sisters: list[_SisterRow]


def reference_board() -> Board:
    """The published figures as a board; every score in it has ``published`` set.

    Sources: arXiv 2403.02875, Tables 1, 2 and 7; SugarCrepe, SugarCrepe++, Winoground, BiVLC, ColorSwap and ARO.
    Standard errors were not published. Of Table 2 no epoch is named.
    """
    file = parse_yaml(_FILE, _File)
    board = Board()
    for row in file.ours:
        if row.Orig is not None:
            _add(board, file.base_model, row, {row.metric: row.Orig}, row.metric)
        for kind in ("Clas", "HN1", "HN2", "HN3"):
            values = getattr(row, kind)
            if isinstance(values, list):
                for epoch, value in enumerate(values, 1):
                    _add(board, f"{kind} {row.concept}, epoch {epoch}", row, {row.metric: value}, row.metric)
            elif values is not None:
                _add(board, f"{kind} {row.concept}", row, {row.metric: values}, row.metric)
    for sister in file.sisters:
        metrics = {name: getattr(sister, name) for name in ("acc", "text_acc", "group_acc")}
        _add(board, file.base_model, sister, {name: value for name, value in metrics.items() if value}, "acc")
    return board


def _add(board: Board, name: str, row: _Row, metrics: dict[str, float], metric: str) -> None:
    key, value = f"published: {name}", metrics[metric]
    board.models[key] = ModelFacts(name=f"{name} (published)", published=True)
    concept = getattr(row, "concept", None) if row.task_type != "retrieval" else None
    board.tasks[row.task] = TaskFacts(version=1, task_type=row.task_type, metric=metric, concept=concept)
    board.scores.append(
        Score(
            model=key,
            task=row.task,
            version=1,
            metric=metric,
            value=value,
            n=row.n,
            chance=row.chance,
            centred=None if row.chance is None else chance_corrected(value, row.chance),
            metrics={each: Measure(value=number) for each, number in metrics.items()},
            published=True,
            file=row.table,
        )
    )
