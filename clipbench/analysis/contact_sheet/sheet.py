"""What a contact sheet shows: samples chosen from a log, by image, with the comparisons that decided them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clipbench.analysis.contact_sheet.images import open_images
from clipbench.analysis.contact_sheet.samples import LONGEST_TEXT, ShownSample, show_sample
from clipbench.errors import ResultError
from clipbench.results import Results, read_results
from clipbench.results.sample_log import logged_samples
from clipbench.task_types.registry import find_task_type
from clipbench.types import LoggedSample
from clipbench.utils.text import excerpt, writable

if TYPE_CHECKING:
    from PIL import Image

Which = Literal["wrong", "right", "all"]

_Z = 1.959964  # 95 % of a normal distribution lie within so many standard errors
_IMAGES_COMPETE = (
    "Below each image, a caption's similarity to it. Bold: the image that the caption prefers; red: it is not its own."
)
_TEXTS_COMPETE = "The true text, the best of the others, and the margin between the two."


@dataclass(frozen=True)
class Card:
    """Images, which are shown once, with all chosen samples of them."""

    images: tuple[Image.Image, ...]
    samples: tuple[ShownSample, ...]


@dataclass(frozen=True)
class ContactSheet:
    """Logged samples of one task, ready to be drawn.

    Attributes:
        title: Model and task.
        score: The primary metric in percent, with its 95 % interval and what it counts.
        selection: What is shown, such as ``9 of 25 wrong``.
        legend: How to read scores.
        cards: The samples, by images.
    """

    title: str
    score: str
    selection: str
    legend: str
    cards: tuple[Card, ...]


def make_contact_sheet(
    results_path: Path,
    task: str,
    which: Which = "wrong",
    most: int = 24,
    *,
    against: Path | None = None,
    among: Collection[str] | None = None,
    data: Mapping[str, str] | None = None,
    include_path: Sequence[str | Path] = (),
) -> ContactSheet:
    """Choose logged samples, the first of the data, and open their images where the run read them.

    Args:
        results_path: A result file with logged samples.
        task: The task.
        which: Samples that the model got wrong by the primary metric, those that it got right, or all. Samples that
            this metric does not count (an image's search for its captions) are not shown.
        most: How many at most.
        against: A result file of another model with logged samples; only samples on which the two differ are shown.
        among: Keys of images; only samples of these are shown. None takes all.
        data: Data set name to place, if it has moved since the run.
        include_path: As in ``clipbench.task_types.registry.known_tasks``.

    Returns:
        The sheet, without cards if there are no such samples.

    Raises:
        ResultError: There are no such results, or no log of them.
        DataError: The data is no longer there.
    """
    results = read_results(results_path)
    if task not in results.tasks:
        raise ResultError(f"{results_path}: no task {task!r} in it, only {', '.join(results.tasks)}")
    metric = results.tasks[task].primary_metric
    others = None if against is None else _by_sample(against, task, metric)
    chosen, found = _choose(results_path, task, metric, which, most, others, among)
    cards = _cards(chosen, results, task, data, include_path)
    return ContactSheet(
        title=f"{excerpt(writable(results.model_name), LONGEST_TEXT)} · {task}",
        score=_score(results, task),
        selection=_selection(which, len(chosen), found) + (f", unlike {_name(against)}" if against else ""),
        legend=_legend(cards),
        cards=tuple(cards),
    )


def _by_sample(results: Path, task: str, metric: str) -> dict[str, bool]:
    """Whether a model is right, by sample."""
    return {sample.id: sample.correct for sample in logged_samples(results, task) if metric in sample.values}


def _name(results: Path) -> str:
    return excerpt(writable(read_results(results).model_name), LONGEST_TEXT)


def _choose(
    path: Path,
    task: str,
    metric: str,
    which: Which,
    most: int,
    others: Mapping[str, bool] | None,
    among: Collection[str] | None,
) -> tuple[list[LoggedSample], int]:
    """The first samples of a kind, and how many of it there are."""
    chosen: list[LoggedSample] = []
    found = 0
    for sample in logged_samples(path, task):
        if metric not in sample.values or (which != "all" and sample.correct != (which == "right")):
            continue
        if others is not None and others.get(sample.id, sample.correct) == sample.correct:
            continue
        if among is not None and not set(sample.images) <= set(among):
            continue
        found += 1
        if found <= most:
            chosen.append(sample)
    return chosen, found


def _cards(
    samples: Sequence[LoggedSample],
    results: Results,
    task: str,
    data: Mapping[str, str] | None,
    include_path: Sequence[str | Path],
) -> list[Card]:
    images = open_images(results, task, {key for sample in samples for key in sample.images}, data, include_path)
    task_type = find_task_type(results.tasks[task].task_type, include_path)
    by_images: dict[tuple[str, ...], list[LoggedSample]] = {}
    for sample in samples:
        by_images.setdefault(sample.images, []).append(sample)
    return [
        Card(tuple(images[key] for key in keys), tuple(show_sample(one, task_type.own_texts(one)) for one in group))
        for keys, group in by_images.items()
    ]


def _score(results: Results, task: str) -> str:
    result = results.tasks[task]
    if result.primary is None:
        return f"{result.primary_metric} unknown"
    stderr = result.primary.stderr
    interval = "" if stderr is None else f" ± {100 * _Z * stderr:.1f}"
    chance = "" if result.chance is None else f", chance {100 * result.chance:.1f} %"
    number = f"{result.counts.effective:,} samples"
    return f"{result.primary_metric} {100 * result.primary.value:.1f}{interval} % of {number}{chance}"


def _selection(which: Which, shown: int, found: int) -> str:
    number = f"{found:,}" if shown == found else f"{shown:,} of {found:,}"
    return f"{number} samples" if which == "all" else f"{number} {which}"


def _legend(cards: Sequence[Card]) -> str:
    if any(len(card.images) > 1 for card in cards):
        return _IMAGES_COMPETE
    texts = (text for card in cards for sample in card.samples for text in sample.texts)
    return _TEXTS_COMPETE if any(text.label != "true" for text in texts) else ""
