"""Samples that models have wrong, with their images: the page's gallery."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations, zip_longest
from pathlib import Path
from typing import Any

from clipbench.analysis.comparison import Answer
from clipbench.analysis.contact_sheet import data_uri, open_images, shown_scores
from clipbench.analysis.contact_sheet.differences import mark_differences
from clipbench.analysis.leaderboard.board import Board, Score
from clipbench.analysis.leaderboard.logs import BoardLogs
from clipbench.errors import ClipbenchError
from clipbench.results import read_results
from clipbench.results.sample_log import logged_samples
from clipbench.task_types import Task
from clipbench.task_types.registry import find_task_type
from clipbench.types import LoggedSample
from clipbench.utils.text import pluralize

MOST_BYTES = 2_500_000  # of images and texts in the page, which with its tables stays below 3 MB
_PIXELS = 192
_BEST_TEXTS = 2  # of the texts that distract, those that each model scores highest


@dataclass
class Gallery:
    """What the gallery shows.

    Attributes:
        samples: Task to samples: ``id``, ``images`` (keys of ``images``), ``texts`` (each split by
            ``mark_differences``), ``own`` (whether each text belongs to the image), ``count`` (texts that there are in
            all), and by model ``answers``: see ``_answer``.
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
    for task in board.tasks if most else ():
        runs = logs.runs(task)
        if not runs:
            continue
        task_type = find_task_type(board.tasks[task].task_type, include_path)
        try:
            answers = {model: logs.answers(score) for model, score in runs.items()}
            chosen = _choose(answers, [logs.confusions(score) for score in runs.values()], most)
            lines = {model: _lines(score, chosen) for model, score in runs.items()}
            samples = [_sample({model: lines[model].get(name) for model in runs}, task_type) for name in chosen]
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


def _choose(
    answers: Mapping[str, Mapping[str, Answer]], confusions: Sequence[Mapping[str, tuple[str, str]]], most: int
) -> list[str]:
    """Samples for every ordered pair of models, every model's failures and its most frequent confusions.

    Samples that serve several purposes are taken again rather than new ones; new ones are spread over the data.
    """
    chosen: dict[str, None] = {}
    for wanted, number in _purposes(answers, confusions, most):
        missing = number - sum(name in chosen for name in wanted)
        fresh = [name for name in wanted if name not in chosen]
        for place in range(max(0, min(missing, len(fresh)))):
            chosen[fresh[place * len(fresh) // missing if missing < len(fresh) else place]] = None
    return list(chosen)


def _purposes(
    answers: Mapping[str, Mapping[str, Answer]], confusions: Sequence[Mapping[str, tuple[str, str]]], most: int
) -> Iterator[tuple[list[str], int]]:
    """Samples that would do, and how many of them are wanted."""
    half = max(1, most // 2)
    for one, other in permutations(answers, 2):
        theirs = answers[other]
        yield [name for name, answer in answers[one].items()
               if answer.right and name in theirs and not theirs[name].right], half  # fmt: skip
    for found in answers.values():
        yield [name for name, answer in found.items() if not answer.right], most
    for pairs in confusions:
        cells: dict[tuple[str, str], list[str]] = {}
        for name, (right, answer) in pairs.items():
            if right != answer:
                cells.setdefault((right, answer), []).append(name)
        for wanted in sorted(cells.values(), key=len, reverse=True)[:most]:
            yield wanted, 1


def _lines(score: Score, wanted: Sequence[str]) -> dict[str, LoggedSample]:
    names = set(wanted)
    return {sample.id: sample for sample in logged_samples(Path(score.file), score.task) if sample.id in names}


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
    shown_own = [own[place] for place in places]
    return {
        "id": first.id,
        "images": list(first.images),
        "texts": _marked([first.texts[place] for place in places], shown_own),
        "own": shown_own,
        "count": len(first.texts),
        "answers": {model: _answer(line, places, own, task_type) for model, line in same.items()},
    }


def _marked(texts: Sequence[str], own: Sequence[bool]) -> list[list[tuple[str, bool]]]:
    """Parts of each text, with whether they differ: a distractor from the true text, a true one from the others.

    If all texts are true (pairs), each is compared with the next.
    """
    true = next((text for text, is_own in zip(texts, own, strict=True) if is_own), texts[0])
    false = next((text for text, is_own in zip(texts, own, strict=True) if not is_own), None)
    following = [*texts[1:], *texts[:1]]
    return [
        list(mark_differences(text, true if not is_own else false if false is not None else after))
        for text, is_own, after in zip(texts, own, following, strict=True)
    ]


def _shown_texts(own: Sequence[bool], same: Mapping[str, LoggedSample]) -> list[int]:
    """The images' own texts, and of the others those that some model scores highest."""
    shown = {place for place, is_own in enumerate(own) if is_own}
    others = [place for place, is_own in enumerate(own) if not is_own]
    for line in same.values():
        best = sorted(others, key=lambda place: -max(row[place] for row in line.scores))
        shown.update(best[:_BEST_TEXTS])
    return sorted(shown)


def _answer(line: LoggedSample, places: Sequence[int], own: Sequence[bool], task_type: type[Task]) -> dict[str, Any]:
    """A model's answer: everything that depends on unrounded scores is decided here.

    ``right``; ``scores`` of each text shown, one per image, as text; ``first``, the texts below none; ``image``,
    where there are several, the one that each text fits best, -1 for a tie; ``rank`` of the true text; ``confused``,
    what was right and what was answered.
    """
    answer: dict[str, Any] = {
        "right": line.correct,
        "scores": shown_scores(line.scores, places),
        "first": [number for number, place in enumerate(places) if _is_first(line, place)],
    }
    if len(line.scores) > 1:
        answer["image"] = [_best_image([row[place] for row in line.scores]) for place in places]
    rank = line.values.get("rank") or _rank(line, own)
    if isinstance(rank, int):
        answer["rank"] = rank
    if (confused := task_type.confusion(line)) is not None:
        answer["confused"] = list(confused)
    return answer


def _is_first(line: LoggedSample, place: int) -> bool:
    return len(line.scores) == 1 and len(line.texts) > 1 and line.scores[0][place] == max(line.scores[0])


def _best_image(scores: Sequence[float]) -> int:
    best = max(scores)
    return scores.index(best) if scores.count(best) == 1 else -1


def _rank(line: LoggedSample, own: Sequence[bool]) -> int | None:
    """The rank of the lowest true text among the texts of one image; an equal score of another is before it."""
    if len(line.scores) != 1 or all(own):
        return None
    lowest = min(score for score, is_own in zip(line.scores[0], own, strict=True) if is_own)
    return 1 + sum(score >= lowest for score, is_own in zip(line.scores[0], own, strict=True) if not is_own)


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
