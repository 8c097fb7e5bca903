"""Samples that models have wrong, with their images: the page's gallery."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from clipbench.analysis.answers import Answers, common_samples
from clipbench.analysis.contact_sheet import data_uri, open_images
from clipbench.analysis.leaderboard.board import Board
from clipbench.analysis.leaderboard.logs import BoardLogs, Confused
from clipbench.analysis.leaderboard.sample_data import sample_data
from clipbench.errors import ClipbenchError
from clipbench.results import read_results
from clipbench.task_types.registry import find_task_type
from clipbench.utils.text import pluralize

MOST_BYTES = 2_500_000  # of images and texts in the page, which with its tables stays below 3 MB
_PIXELS = 192


@dataclass
class Gallery:
    """What the gallery shows.

    Attributes:
        samples: Task to samples, as from ``sample_data``; their ``images`` are keys of ``images``.
        images: Key to a picture as a data URI.
    """

    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)


def find_samples(
    board: Board,
    most: int,
    data: Mapping[str, str] | None = None,
    include_path: Sequence[str | Path] = (),
    logs: BoardLogs | None = None,
    most_bytes: int = MOST_BYTES,
) -> tuple[Gallery, list[str]]:
    """Choose samples from the logs of the board's results.

    Args:
        board: The board.
        most: Samples for each task and pair of models, half of them for either one being right; also failures for each
            model, and its most frequent confusions. 0 for none.
        data: Data set name to place, if it has moved since the runs.
        include_path: As in ``clipbench.task_types.registry.known_tasks``.
        logs: The board's logs, if they are read elsewhere too.
        most_bytes: Bound of all images and texts; samples beyond it are left out, of all tasks alike.

    Returns:
        The samples, and what could not be read or was left out, one line each.
    """
    logs = logs or BoardLogs(board, include_path)
    gallery, problems = Gallery(), []
    for task in list(board.tasks) if most else []:
        runs = logs.runs(task)
        if not runs:
            continue
        task_type = find_task_type(board.tasks[task].task_type, include_path)
        try:
            answers = {model: logs.answers(score) for model, score in runs.items()}
            chosen = _choose(answers, [logs.confused(score) for score in runs.values()], most)
            lines = {model: logs.samples(score, chosen) for model, score in runs.items()}
            samples = [sample_data({model: lines[model].get(name) for model in runs}, task_type) for name in chosen]
        except (ClipbenchError, LookupError, TypeError, ValueError, AttributeError) as error:
            problems.append(f"{task}: no gallery: its logged samples cannot be read: {error}")
            continue
        try:
            _add_images(gallery, samples, Path(next(iter(runs.values())).file), task, data, include_path)
        except ClipbenchError as error:
            problems.append(f"{task}: the gallery is without images: {error}")
        gallery.samples[task] = samples
    if left_out := _fit(gallery, most_bytes):
        problems.append(
            f"gallery: {pluralize(left_out, 'sample')} left out to keep the page small; ask for a smaller one"
        )
    return gallery, problems


def _choose(answers: Mapping[str, Answers], confusions: Sequence[Confused], most: int) -> list[str]:
    """Samples for every ordered pair of models, every model's failures and its most frequent confusions.

    Samples that serve several purposes are taken again rather than new ones; new ones are spread over the data.
    """
    chosen: dict[str, None] = {}
    for wanted, number in _purposes(answers, confusions, most):
        fresh = [name for name in wanted if name not in chosen]
        missing = number - (len(wanted) - len(fresh))
        for place in range(max(0, min(missing, len(fresh)))):
            chosen[fresh[place * len(fresh) // missing if missing < len(fresh) else place]] = None
    return list(chosen)


def _purposes(
    answers: Mapping[str, Answers], confusions: Sequence[Confused], most: int
) -> Iterator[tuple[list[str], int]]:
    """Samples that would do, and how many of them are wanted."""
    half = max(1, most // 2)
    for one, other in permutations(answers.values(), 2):
        ours, theirs = common_samples(one, other)
        yield one.ids(ours[one.right[ours] & ~other.right[theirs]]), half
    for found in answers.values():
        yield found.ids(np.flatnonzero(~found.right)), most
    for confused in confusions:
        cells = [names for (right, answer), names in confused.items() if right != answer]
        for wanted in sorted(cells, key=len, reverse=True)[:most]:
            yield wanted, 1


def _add_images(
    gallery: Gallery,
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
    missing = {key for key in wanted if names[key] not in gallery.images}
    if missing:
        for key, image in open_images(results, task, missing, data, include_path).items():
            gallery.images[names[key]] = data_uri(image, _PIXELS)


def _fit(gallery: Gallery, most_bytes: int) -> int:
    """Leave out what exceeds a size, one sample of each task after the other. Returns how many samples."""
    kept: dict[str, list[dict[str, Any]]] = {task: [] for task in gallery.samples}
    images: dict[str, str] = {}
    used, left_out = 0, 0
    for row in zip_longest(*gallery.samples.values()):
        for task, sample in zip(gallery.samples, row, strict=True):
            if sample is None:
                continue
            new = {key: gallery.images[key] for key in sample["images"] if key in gallery.images and key not in images}
            size = len(json.dumps(sample)) + sum(map(len, new.values()))
            if used + size > most_bytes:
                left_out += 1
                continue
            used += size
            images |= new
            kept[task].append(sample)
    gallery.samples, gallery.images = kept, images
    return left_out
