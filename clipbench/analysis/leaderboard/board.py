"""A leaderboard's schema, and how it is written and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from clipbench.errors import ResultError
from clipbench.results import BreakdownEntry, Measure
from clipbench.results.schema import Count, Number, Share, StandardError, TaskName
from clipbench.utils.files import atomic_write, lock
from clipbench.utils.json_files import read_json, validate
from clipbench.utils.text import excerpt

SCHEMA_VERSION = 1
KIND = "clipbench leaderboard"

Flag = Literal["limited", "incomplete", "old_version", "other_data", "contradicted"]
MIXED: frozenset[Flag] = frozenset({"old_version", "other_data"})
"""Flags of scores that are complete, but of another version or other data than the ranked ones."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Score(_Strict):
    """What one model reached on one task in one run.

    Attributes:
        model: Key of ``Board.models``.
        task: Key of ``Board.tasks``.
        version: The task's version in that run.
        metric: The task's primary metric, whose value this is.
        value: A share in [0, 1]; higher is better.
        stderr: Its standard error, clustered by image; null where it is not known.
        n: Samples scored; null where it is not known.
        chance: What guessing gives.
        blind: Scores of rules that see no image, by rule; for a published score, those measured on the same task.
        blind_balanced: The same for metrics that average this one over groups, by metric and rule.
        centred: ``(value − chance) / (1 − chance)``.
        rank: From 1 among measured scores without flags; equal values share a rank; null for all others, unless the
            board ranks mixed scores too.
        flags: Why it does not compare with others': ``limited`` (``--limit``), ``incomplete`` (data was missing),
            ``old_version`` (others were scored with a newer version of the task), ``other_data`` (the ranked ones are
            of other data, or of another number of samples). ``contradicted`` does not take the rank away: another run
            of the same weights on the same data gave something else.
        metrics: The task's metrics.
        breakdown: Keyword to its samples and the primary metric over them.
        confusion: Keyword to what was ranked first to how often, from logged samples of a ranking task.
        published: Quoted from a publication, not measured.
        data: Fingerprint of the data, or what it was read from.
        date: When the run started, ISO 8601, UTC.
        clipbench_version: What it was scored with.
        git_hash: Its commit.
        file: Where it comes from: a result file, or a publication's table.
    """

    model: str
    task: TaskName
    version: Count
    metric: str
    value: Share
    stderr: StandardError | None = None
    n: Count | None = None
    chance: Share | None = None
    blind: dict[str, Share] = {}
    blind_balanced: dict[str, dict[str, Share]] = {}
    centred: Number | None = None
    rank: Count | None = None
    flags: list[Flag] = []
    metrics: dict[str, Measure] = {}
    breakdown: dict[str, BreakdownEntry] = {}
    confusion: dict[str, dict[str, Count]] = {}
    published: bool = False
    data: str | None = None
    date: str = ""
    clipbench_version: str = ""
    git_hash: str | None = None
    file: str = ""

    @property
    def comparable(self) -> bool:
        """Whether it takes part in ranks and means."""
        return not self.published and not set(self.flags) - {"contradicted"}

    @property
    def floor(self) -> float | None:
        """The score of the best rule that sees no image."""
        return max(self.blind.values(), default=None)

    @property
    def below_blind(self) -> bool:
        """Whether the model does no better than a rule that sees no image."""
        return self.floor is not None and self.value <= self.floor


class ModelFacts(_Strict):
    """A row of the board.

    Attributes:
        name: What ``--model`` was.
        label: The name, with what tells it apart where two models share a name.
        published: Its scores are quoted, not measured.
        weights: Digest of weights, settings, tokenizer and preprocessing.
        parameters: Their number.
        revision: The hub's commit.
        precision: Of the encoders.
        preprocessor: The image preprocessing used.
        library: With its version.
        architecture: The model's class or name.
        base: What it was fine-tuned from: a name, or the digest of its weights.
        finetuned: For weights between two models: the digest of the fine-tuned one's.
        alpha: For weights between two models: the share of the fine-tuned one.
    """

    name: str
    label: str = ""
    published: bool = False
    weights: str | None = None
    parameters: Count | None = None
    revision: str | None = None
    precision: str | None = None
    preprocessor: str | None = None
    library: str | None = None
    architecture: str | None = None
    base: str | None = None
    finetuned: str | None = None
    alpha: Number | None = None


class TaskFacts(_Strict):
    """A column of the board.

    Attributes:
        version: The newest among the scores; scores of others are flagged.
        task_type: ``ranking``, ``pairs``, ``retrieval``, …
        metric: The primary metric.
        concept: What it tests, where that is one of the concepts.
        dataset: The data's name.
        groups: Groups it belongs to.
    """

    version: Count
    task_type: str
    metric: str
    concept: str | None = None
    dataset: str | None = None
    groups: list[str] = []


class GroupMean(_Strict):
    """The plain mean of a model's scores over all tasks of a group.

    Attributes:
        model: Key of ``Board.models``.
        group: The group.
        value: The mean.
        stderr: Its standard error, tasks taken as independent.
        tasks: How many tasks there are.
        rank: As in ``Score``.
    """

    model: str
    group: str
    value: Share
    stderr: StandardError | None = None
    tasks: Count
    rank: Count | None = None


class Refusal(_Strict):
    """What did not come onto the board.

    Attributes:
        file: The file.
        reason: Why, in one line.
        task: The task; null where it is the whole file.
    """

    file: str
    reason: str
    task: str | None = None


class Board(_Strict):
    """Models × tasks.

    Attributes:
        kind: Tells a board from other JSON files.
        schema_version: Of this file's form.
        date: When it was built, ISO 8601, UTC.
        clipbench_version: What it was built with.
        git_hash: Its commit.
        models: Key to facts. The key is the name and the first digits of the weights' digest.
        tasks: Task to facts.
        scores: One for each model and task: the newest that compares, or else the newest.
        means: Means over groups of which a model has every task.
        history: All runs of each model and task that was scored more than once, the newest first.
        notes: What a reader should know, a line each: contradictions, several weights under one name.
        refused: What was in the inputs of the last build and is not on the board.
    """

    kind: Literal["clipbench leaderboard"] = "clipbench leaderboard"
    schema_version: Literal[1] = 1
    date: str = ""
    clipbench_version: str = ""
    git_hash: str | None = None
    models: dict[str, ModelFacts] = {}
    tasks: dict[TaskName, TaskFacts] = {}
    scores: list[Score] = []
    means: list[GroupMean] = []
    history: list[Score] = []
    notes: list[str] = []
    refused: list[Refusal] = []

    def score(self, model: str, task: str) -> Score | None:
        """The score of a model, by key, on a task."""
        return next((score for score in self.scores if (score.model, score.task) == (model, task)), None)

    def to_json(self) -> str:
        """The file's text."""
        return self.model_dump_json(indent=1, exclude_defaults=False) + "\n"


def read_board(path: Path) -> Board:
    """Read a board.

    Raises:
        ResultError: It is not there, or no board.
    """
    data = read_json(path, "leaderboard")
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise ResultError(f"{path}: not a clipbench leaderboard; choose another output_path")
    if data.get("schema_version") != SCHEMA_VERSION:
        shown = excerpt(repr(data.get("schema_version")), 40)
        raise ResultError(f"{path}: schema version {shown}, this clipbench reads {SCHEMA_VERSION}")
    board = validate(Board, data, path)
    for score in (*board.scores, *board.history):
        if score.model not in board.models or score.task not in board.tasks:
            shown = f"{excerpt(score.model, 60)} on {excerpt(score.task, 60)}"
            raise ResultError(f"{path}: a score of {shown}, which `models` or `tasks` lacks")
    return board


@contextmanager
def board_lock(path: Path, on_busy: Callable[[], None] | None = None) -> Iterator[None]:
    """Keep other processes from writing a board between reading and writing it, so that nothing they add is lost.

    Args:
        path: The board; its folder is created.
        on_busy: Called before waiting, if another process holds the lock.

    Raises:
        ResultError: Its folder cannot be written to.
    """
    _make_folder(path)
    with lock(path.with_name(f".{path.name}.lock"), on_busy):
        yield


def write_board(path: Path, board: Board) -> None:
    """Write a board, all of it or nothing.

    Raises:
        ResultError: It cannot be written.
    """
    _make_folder(path)
    atomic_write(path, board.to_json())


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"{path}: cannot be written: {error.strerror or error}") from None
