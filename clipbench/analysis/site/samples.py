"""The samples that a site shows of a task: mistakes of each model, and those that most models make."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from clipbench.analysis.contact_sheet import ShownSample, open_images, show_sample
from clipbench.analysis.leaderboard.board import Board
from clipbench.analysis.leaderboard.logs import BoardLogs
from clipbench.errors import ClipbenchError
from clipbench.results import read_results
from clipbench.task_types.registry import find_task_type
from clipbench.types import LoggedSample

if TYPE_CHECKING:
    from PIL import Image

_PIXELS = 320
_UNREADABLE = (ClipbenchError, LookupError, TypeError, ValueError)  # of a log that lacks something

Item = TypeVar("Item")
Line = tuple[LoggedSample, ShownSample]


@dataclass(frozen=True)
class TaskSamples:
    """Logged samples of one task.

    Attributes:
        counts: Model to the numbers of its wrong samples and of all that its primary metric counts.
        wrong: Model to some of its wrong samples, as logged and as shown.
        hardest: Samples that the fewest models got right: model to its answer, likewise.
        images: Image key to a JPEG; empty if the data is no longer there.
        problems: What could not be read, a line each.
    """

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    wrong: dict[str, list[Line]] = field(default_factory=dict)
    hardest: list[dict[str, Line]] = field(default_factory=list)
    images: dict[str, bytes] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def choose_samples(
    board: Board,
    task: str,
    most: int,
    logs: BoardLogs,
    data: Mapping[str, str] | None = None,
    include_path: Sequence[str | Path] = (),
) -> TaskSamples:
    """Choose samples from the logs of a task's results, spread evenly over the data.

    Args:
        board: A board whose scores name their files.
        task: One of its tasks.
        most: Samples for each model, and for the task.
        logs: The board's logs.
        data: Data set name to place, if it has moved since the runs.
        include_path: As in ``clipbench.task_types.registry.known_tasks``.
    """
    chosen = TaskSamples()
    task_type = find_task_type(board.tasks[task].task_type, include_path)
    outcomes: dict[str, dict[str, bool]] = {}
    runs = logs.runs(task)

    def report(model: str, error: Exception) -> None:
        chosen.problems.append(f"{task}: no mistakes of {board.models[model].label} are shown: {error}")

    for model, score in runs.items():
        try:
            answers = logs.answers(score)
            outcomes[model] = dict(zip(answers.places, answers.right.tolist(), strict=True))
        except _UNREADABLE as error:
            report(model, error)
    wrong = {model: [name for name, right in each.items() if not right] for model, each in outcomes.items()}
    names = {model: spread(each, most) for model, each in wrong.items()}
    shared = list(hardest(outcomes, most)) if len(outcomes) > 1 else []
    lines: dict[str, dict[str, Line]] = {}
    for model in outcomes:
        wanted = {*names[model], *shared}
        try:
            found = logs.samples(runs[model], wanted)
            lines[model] = {name: (one, show_sample(one, task_type.own_texts(one))) for name, one in found.items()}
        except _UNREADABLE as error:
            report(model, error)
            continue
        chosen.counts[model] = len(wrong[model]), len(outcomes[model])
        chosen.wrong[model] = [lines[model][name] for name in names[model]]
    chosen.hardest.extend({model: lines[model][name] for model in lines} for name in shared)
    keys = {key for each in lines.values() for one, _ in each.values() for key in one.images}
    if keys:
        try:
            images = open_images(read_results(Path(runs[next(iter(outcomes))].file)), task, keys, data, include_path)
            chosen.images.update({key: _jpeg(image) for key, image in images.items()})
        except ClipbenchError as error:
            chosen.problems.append(f"{task}: mistakes are shown without images: {error}")
    return chosen


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many items, at even distances.

    Examples:
        >>> spread("abcdef", 3), spread("ab", 3)
        (['a', 'c', 'e'], ['a', 'b'])
    """
    number = min(most, len(items))
    return [items[place * len(items) // number] for place in range(number)]


def hardest(outcomes: Mapping[str, Mapping[str, bool]], most: int) -> Iterable[str]:
    """The samples that the fewest models got right, of those that every model has and at least one got wrong.

    Examples:
        >>> list(hardest({"a": {"x": True, "y": False, "z": False}, "b": {"x": False, "y": False, "z": False}}, 2))
        ['y', 'z']
    """
    shared = set.intersection(*(set(each) for each in outcomes.values()))
    by_rights: dict[int, list[str]] = {}
    for name in next(iter(outcomes.values())):
        if name in shared:
            by_rights.setdefault(sum(each[name] for each in outcomes.values()), []).append(name)
    by_rights.pop(len(outcomes), None)
    missing = most
    for rights in sorted(by_rights):
        found = spread(by_rights[rights], missing)
        missing -= len(found)
        yield from found


def _jpeg(image: Image.Image) -> bytes:
    small = image.convert("RGB")
    small.thumbnail((_PIXELS, _PIXELS))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def image_path(content: bytes) -> str:
    """Where an image is in the site: named by its content, so that pages share it."""
    return f"images/{hashlib.sha256(content).hexdigest()[:16]}.jpg"
