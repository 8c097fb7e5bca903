"""Samples on which two models disagree, with their images: the page's gallery."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.analysis.contact_sheet import open_images, shown_scores
from clipbench.analysis.leaderboard.board import Board
from clipbench.analysis.leaderboard.confusion import has_log
from clipbench.errors import ClipbenchError
from clipbench.results import read_results
from clipbench.results.sample_log import logged_samples
from clipbench.task_types import Task
from clipbench.task_types.registry import find_task_type
from clipbench.types import LoggedSample

if TYPE_CHECKING:
    from PIL import Image

_PIXELS = 192
_BEST_TEXTS = 3  # of the texts that distract, those that each model scores highest


@dataclass
class Disagreements:
    """What the gallery shows.

    Attributes:
        samples: Task to samples: ``id``, ``images`` (keys of ``images``), ``texts``, ``own`` (whether each text
            belongs to the image), and by model ``answers``: whether it was right, and for each text its scores (one an
            image) as they are shown, and whether none is higher.
        images: Key to a JPEG as a data URI.
    """

    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)


def find_disagreements(
    board: Board, most: int, data: Mapping[str, str] | None = None, include_path: Sequence[str | Path] = ()
) -> tuple[Disagreements, list[str]]:
    """Choose samples from the logs of the board's results.

    Args:
        board: The board.
        most: Samples for each task and pair of models, half of them for either one being right.
        data: Data set name to place, if it has moved since the runs.
        include_path: As in ``clipbench.task_types.registry.known_tasks``.

    Returns:
        The samples, and what could not be read, one line each.
    """
    found, problems = Disagreements(), []
    for task, facts in board.tasks.items() if most else ():
        runs = _runs(board, task)
        if len(runs) < 2:
            continue
        task_type = find_task_type(facts.task_type, include_path)
        try:
            chosen = _choose(
                {model: _rights(path, task, facts.metric) for model, path in runs.items()}, max(1, most // 2)
            )
            lines = {model: _lines(path, task, chosen) for model, path in runs.items()}
            samples = [_sample({model: lines[model].get(name) for model in runs}, task_type) for name in chosen]
        except (ClipbenchError, LookupError, TypeError, ValueError, AttributeError) as error:
            problems.append(f"{task}: no gallery: its logged samples cannot be read: {error}")
            continue
        try:
            _add_images(found, samples, next(iter(runs.values())), task, data, include_path)
        except ClipbenchError as error:
            problems.append(f"{task}: the gallery is without images: {error}")
        found.samples[task] = samples
    return found, problems


def _runs(board: Board, task: str) -> dict[str, Path]:
    """Models to result files with logged samples."""
    scores = [score for score in board.scores if score.task == task and score.comparable]
    return {score.model: Path(score.file) for score in scores if has_log(score)}


def _rights(path: Path, task: str, metric: str) -> dict[str, bool]:
    """Samples to whether the model was right; only those that the primary metric counts."""
    return {sample.id: sample.correct for sample in logged_samples(path, task) if metric in sample.values}


def _choose(rights: Mapping[str, Mapping[str, bool]], most: int) -> list[str]:
    """Samples such that every ordered pair of models has ``most`` where the first is right and the second not.

    Samples that serve several pairs are taken again rather than new ones; new ones are spread over the data.
    """
    chosen: dict[str, None] = {}
    for one, other in permutations(rights, 2):
        differing = [name for name, right in rights[one].items() if right and rights[other].get(name) is False]
        missing = most - sum(name in chosen for name in differing)
        fresh = [name for name in differing if name not in chosen]
        for place in range(max(0, min(missing, len(fresh)))):
            chosen[fresh[place * len(fresh) // missing if missing < len(fresh) else place]] = None
    return sorted(chosen)


def _lines(path: Path, task: str, wanted: Sequence[str]) -> dict[str, LoggedSample]:
    names = set(wanted)
    return {sample.id: sample for sample in logged_samples(path, task) if sample.id in names}


def _sample(lines: Mapping[str, LoggedSample | None], task_type: type[Task]) -> dict[str, Any]:
    """One sample of the gallery, with the answers of all models that saw the same texts and images."""
    first = next(line for line in lines.values() if line)
    same = {
        model: line
        for model, line in lines.items()
        if line and (line.texts, line.images) == (first.texts, first.images)
    }
    own = task_type.own_texts(first)
    places = list(_shown_texts(own, same))
    return {
        "id": first.id,
        "images": list(first.images),
        "texts": [first.texts[place] for place in places],
        "own": [own[place] for place in places],
        "answers": {model: _answer(line, places) for model, line in same.items()},
    }


def _shown_texts(own: Sequence[bool], same: Mapping[str, LoggedSample]) -> list[int]:
    """The images' own texts, and of the others those that some model scores highest."""
    shown = {place for place, is_own in enumerate(own) if is_own}
    others = [place for place, is_own in enumerate(own) if not is_own]
    for line in same.values():
        best = sorted(others, key=lambda place: -max(row[place] for row in line.scores))
        shown.update(best[:_BEST_TEXTS])
    return sorted(shown)


def _answer(line: LoggedSample, places: Sequence[int]) -> dict[str, Any]:
    """A model's answer. Which text is first is decided here, by unrounded scores; the page only gets them as text."""
    answer: dict[str, Any] = {
        "right": line.correct,
        "scores": shown_scores(line.scores, places),
        "first": [len(line.scores) == 1 and len(line.texts) > 1 and line.scores[0][place] == max(line.scores[0])
                  for place in places],
    }  # fmt: skip
    if isinstance(line.values.get("rank"), int):
        answer["rank"] = line.values["rank"]
    return answer


def _add_images(
    found: Disagreements,
    samples: Sequence[dict[str, Any]],
    results_path: Path,
    task: str,
    data: Mapping[str, str] | None,
    include_path: Sequence[str | Path],
) -> None:
    """Open the samples' images and rename their keys, which are unique within a dataset only."""
    results = read_results(results_path)
    dataset = results.tasks[task].declaration.get("dataset", task)
    wanted = {key for sample in samples for key in sample["images"]}
    names = {key: f"{dataset}/{key}" for key in wanted}
    for sample in samples:
        sample["images"] = [names[key] for key in sample["images"]]
    missing = {key for key in wanted if names[key] not in found.images}
    if missing:
        for key, image in open_images(results, task, missing, data, include_path).items():
            found.images[names[key]] = _thumbnail(image)


def _thumbnail(image: Image.Image) -> str:
    small = image.convert("RGB")
    small.thumbnail((_PIXELS, _PIXELS))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
