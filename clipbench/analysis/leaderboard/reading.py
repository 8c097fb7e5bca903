"""From result files to scores: what comes onto a board, and what is refused."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from clipbench.analysis.leaderboard.board import Board, Flag, ModelFacts, Refusal, Score, TaskFacts, read_board
from clipbench.concepts import concept_names
from clipbench.errors import ResultError
from clipbench.metrics import chance_corrected
from clipbench.results import Results, TaskResult, read_results
from clipbench.results.files import result_files
from clipbench.utils.text import excerpt, writable

_DIGITS = 12  # of a digest, enough to tell weights apart


@dataclass
class Gathered:
    """What a board is built from.

    Attributes:
        scores: Every run's, in any order, the same one maybe twice.
        models: Key to facts.
        tasks: Task and version to facts.
        refused: What was left out.
    """

    scores: list[Score] = field(default_factory=list)
    models: dict[str, ModelFacts] = field(default_factory=dict)
    tasks: dict[tuple[str, int], TaskFacts] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)

    def add_board(self, board: Board) -> None:
        """Take in all runs that a board knows of."""
        self.scores += [*board.history, *board.scores]  # the winners, with their breakdown, come last
        self.models.update(board.models)
        for name, facts in board.tasks.items():
            self.tasks.setdefault((name, facts.version), facts)

    def add_results(self, results: Results, path: Path) -> None:
        """Take in one run; tasks without numbers are refused.

        Raises:
            ResultError: It has no task.
        """
        if not results.tasks:
            raise ResultError("holds no task")
        facts = _model_facts(results)
        key = f"{facts.name}@{(facts.weights or '')[:_DIGITS]}"
        scores = []
        for task, result in results.tasks.items():
            try:
                scores.append(_score(results, task, result, key, path))
            except ResultError as error:
                self.refuse(path, str(error), task)
                continue
            if (task, result.version) not in self.tasks:
                self.tasks[task, result.version] = _task_facts(result)
        self.scores += scores
        if scores:
            self.models[key] = facts

    def require_scores(self) -> None:
        """Raise ``ResultError`` with the first refusal if nothing could be used."""
        if self.refused and not self.scores:
            first = self.refused[0]
            raise ResultError(f"{first.file}: {f'{first.task}: ' if first.task else ''}{first.reason}")

    def refuse(self, path: Path, reason: str, task: str | None = None) -> None:
        """Record an input that is left out, and why."""
        self.refused.append(Refusal(file=writable(str(path)), task=task, reason=writable(" ".join(reason.split()))))


def gather(paths: Sequence[str | Path]) -> Gathered:
    """Read result files, folders of them, and boards.

    Args:
        paths: Files, or folders that are searched for ``results_*.json``.

    Raises:
        ResultError: A path is not there, or a folder holds no results.
    """
    gathered = Gathered()
    with _uncollected():
        for path in _files(paths):
            try:
                if path.name.startswith("results_"):
                    gathered.add_results(read_results(path), path)
                else:
                    _add_any(gathered, path)
            except ResultError as error:
                gathered.refuse(path, str(error).removeprefix(f"{path}: "))
    return gathered


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the garbage collector: going again and again through all scores read so far takes 40 % of the time."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def _files(paths: Sequence[str | Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for given in map(Path, paths):
        found = result_files(given)
        yield from (path for path in found if path not in seen)
        seen.update(found)


def _add_any(gathered: Gathered, path: Path) -> None:
    """A file of any name: results, or a board."""
    try:
        gathered.add_results(read_results(path), path)
    except ResultError as error:
        try:
            gathered.add_board(read_board(path))
        except ResultError:
            raise error from None


def _score(results: Results, task: str, result: TaskResult, key: str, path: Path) -> Score:
    if result.error is not None:
        raise ResultError(f"the task failed: {result.error}")
    metric, measures = result.primary_metric, result.metrics
    if metric not in measures:
        raise ResultError(f"no value of its primary metric {excerpt(metric, 60)}")
    value, chance = measures[metric].value, result.chance
    return Score.model_construct(  # of checked parts; checking them again takes seconds for thousands of files
        model=key,
        task=task,
        version=result.version,
        metric=metric,
        value=value,
        stderr=measures[metric].stderr,
        n=result.counts.effective,
        chance=result.chance,
        blind=result.blind,
        blind_balanced=result.blind_balanced,
        centred=None if chance is None or chance == 1 else chance_corrected(value, chance),
        flags=_flags(results, result),
        metrics=measures,
        breakdown=result.breakdown,
        data=_data(result),
        date=datetime.fromtimestamp(results.date, timezone.utc).isoformat(timespec="milliseconds"),
        clipbench_version=results.clipbench_version,
        git_hash=results.git_hash,
        file=writable(str(path)),
    )


def _flags(results: Results, result: TaskResult) -> list[Flag]:
    if results.config.limit is not None:
        return ["limited"]
    return [] if result.complete else ["incomplete"]


def _data(result: TaskResult) -> str | None:
    found = result.data.get("fingerprint") or result.data.get("revision") or result.data.get("location")
    return None if found is None else str(found)


def _task_facts(result: TaskResult) -> TaskFacts:
    declared = result.declaration
    return TaskFacts(
        version=result.version,
        task_type=result.task_type,
        metric=result.primary_metric,
        concept=_concept(declared),
        dataset=declared.get("dataset"),
        groups=declared.get("groups") or [],
    )


def _concept(declared: Mapping[str, Any]) -> str | None:
    """A ranking task declares its concept; pairs that test one carry it as a tag."""
    tagged = (tag for tag in declared.get("tags") or [] if tag in concept_names())
    concept = declared.get("concept") or next(tagged, None)
    return None if concept is None else str(concept)


def _model_facts(results: Results) -> ModelFacts:
    facts = results.model_info
    library = " ".join(str(facts[name]) for name in ("library", "library_version") if facts.get(name))
    texts = ("revision", "precision", "preprocessor", "architecture")
    between = results.interpolation
    base = between.base if between else facts.get("base_fingerprint") or facts.get("base_model")
    return ModelFacts(
        name=results.model_name,
        weights=results.model_fingerprint,
        parameters=facts.get("parameters"),
        library=library or None,
        base=str(base) if base else None,
        finetuned=between.finetuned if between else None,
        alpha=between.alpha if between else None,
        **{name: str(facts[name]) for name in texts if facts.get(name)},
    )
