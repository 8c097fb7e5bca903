"""Contact sheets: logged samples with their images, texts and scores."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.errors import ResultError
from clipbench.evaluation.options import EvaluationOptions
from clipbench.evaluation.preparation import DataSources
from clipbench.results import Results, read_results
from clipbench.results.sample_log import logged_samples
from clipbench.task_types.registry import find_task, find_task_type
from clipbench.types import LoggedSample
from clipbench.utils.text import excerpt, writable

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

_MOST_TEXTS = 4  # of a ranking's variants: the caption and the best of the others
_LONGEST_TEXT = 600  # characters
_DIGITS, _MOST_DIGITS = 3, 9  # of a score; nine tell apart all float32 numbers of this size
_TILE = 224
_MARGIN = 16
_LINE = 18


@dataclass(frozen=True)
class SamplePicture:
    """A logged sample with its images, ready to be drawn.

    Attributes:
        name: The sample's id.
        right: Whether the model was right.
        images: The sample's images.
        captions: Text, its scores with each image as they are shown, and whether it belongs to the first image (for
            pairs: whether it is the one with the position of its image).
    """

    name: str
    right: bool
    images: tuple[Image.Image, ...]
    captions: tuple[tuple[str, tuple[str, ...], bool], ...]


def show_samples(
    results_path: Path,
    task: str,
    *,
    wanted: Callable[[LoggedSample], bool],
    most: int,
    data: Mapping[str, str] | None = None,
    include_path: Sequence[str | Path] = (),
) -> list[SamplePicture]:
    """Find logged samples' images where the run read them.

    Args:
        results_path: A result file with logged samples.
        task: The task.
        wanted: Which samples to show.
        most: How many at most.
        data: Data set name to place, if it has moved since the run.
        include_path: As in ``clipbench.task_types.registry.known_tasks``.

    Raises:
        ResultError: There are no such results or samples.
        DataError: The data is no longer there.
    """
    results = read_results(results_path)
    if task not in results.tasks:
        raise ResultError(f"{results_path}: no task {task!r} in it, only {', '.join(results.tasks)}")
    samples = {one.id: one for one in islice(filter(wanted, logged_samples(results_path, task)), most)}
    images = open_images(results, task, {key for one in samples.values() for key in one.images}, data, include_path)
    task_type = find_task_type(results.tasks[task].task_type, include_path)
    return [_picture(one, task_type.own_texts(one), images) for one in samples.values()]


def open_images(
    results: Results,
    name: str,
    wanted: Collection[str],
    data: Mapping[str, str] | None,
    include_path: Sequence[str | Path],
) -> dict[str, Image.Image]:
    """Open images of a task by key, where the run found them.

    Raises:
        ResultError: An image is no longer in the data.
        DataError: The data is no longer there.
    """
    task = find_task(name, include_path)
    places = {**results.config.data, **(data or {})}
    places = {dataset: place for dataset, place in places.items() if dataset == task.dataset.name}
    source = DataSources([task], EvaluationOptions(data=places)).source_for(task)
    found: dict[str, Image.Image] = {}
    for sample in task.samples(source):
        for ref in sample.images:
            if ref.key in wanted and ref.key not in found and not ref.missing:
                found[ref.key] = ref.open()
        if len(found) == len(wanted):
            break
    missing = set(wanted) - found.keys()
    if missing:
        raise ResultError(f"image {min(missing)} is no longer in the data of {name}: say in `data` where it is now")
    return found


def _picture(sample: LoggedSample, own: Sequence[bool], images: Mapping[str, Image.Image]) -> SamplePicture:
    """With all texts if every one is the images' own, else with the own ones and the best of the others."""
    best = [max(row[place] for row in sample.scores) for place in range(len(own))]
    others = sorted((place for place, is_own in enumerate(own) if not is_own), key=lambda place: -best[place])
    mine = [place for place, is_own in enumerate(own) if is_own][:_MOST_TEXTS]
    shown = [*mine, *others[: _MOST_TEXTS - 1]]
    captions = [
        (excerpt(writable(sample.texts[place]), _LONGEST_TEXT), scores, own[place])
        for place, scores in zip(shown, shown_scores(sample.scores, shown), strict=True)
    ]
    return SamplePicture(
        excerpt(writable(sample.id), _LONGEST_TEXT),
        sample.correct,
        tuple(images[key] for key in sample.images),
        tuple(captions),
    )


def shown_scores(rows: Sequence[Sequence[float]], places: Sequence[int]) -> list[tuple[str, ...]]:
    """Scores as text, with enough digits to tell apart those that differ.

    Args:
        rows: All scores, a row per image and a column per text.
        places: Which texts are shown.

    Returns:
        For each text its scores, one per image.

    Examples:
        >>> shown_scores([[0.49003, 0.48998, 0.1]], [0, 1])
        [('0.49003',), ('0.48998',)]
    """
    scores = [tuple(row[place] for row in rows) for place in places]
    distinct = {score for each in scores for score in each}
    digits = _DIGITS
    while digits < _MOST_DIGITS and len({f"{score:.{digits}f}" for score in distinct}) < len(distinct):
        digits += 1
    return [tuple(f"{score:.{digits}f}" for score in each) for each in scores]


def contact_sheet(samples: Sequence[SamplePicture], title: str, columns: int = 3) -> Image.Image:
    """Draw samples on one picture: images, and below them the texts with their scores.

    Args:
        samples: At least one sample.
        title: Written above.
        columns: Samples side by side.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(13)
    width = max(len(sample.images) for sample in samples) * (_TILE + 4) + _MARGIN
    lines = max(sum(len(part) for part in _wrapped(sample, font, width)) for sample in samples)
    height = _TILE + (lines + 1) * _LINE + _MARGIN
    rows = -(-len(samples) // columns)
    across = min(columns, len(samples))
    sheet = Image.new("RGB", (across * width + _MARGIN, rows * height + 3 * _LINE), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _LINE), title, "black", font=ImageFont.load_default(16))
    for index, sample in enumerate(samples):
        corner = _MARGIN + index % columns * width, 3 * _LINE + index // columns * height
        _draw_sample(sheet, pen, sample, corner, width, font)
    return sheet


def _draw_sample(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, sample: SamplePicture, corner: tuple[int, int], width: int, font: Any
) -> None:
    from PIL import ImageOps

    x, y = corner
    for place, image in enumerate(sample.images):
        tile = ImageOps.pad(image, (_TILE, _TILE), color=(240, 240, 240))
        sheet.paste(tile, (x + place * (_TILE + 4), y))
    y += _TILE + 4
    colors = [("#1a6e1a" if own else "#a32020") for _, _, own in sample.captions]
    for color, part in zip(colors, _wrapped(sample, font, width), strict=True):
        for line in part:
            pen.text((x, y), line, color, font=font)
            y += _LINE


def _wrapped(sample: SamplePicture, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[list[str]]:
    """Each caption with its scores, broken into lines that fit."""
    parts = []
    for text, scores, _ in sample.captions:
        line, lines = f"{' / '.join(scores)} ", []
        for word in text.split():
            if font.getlength(f"{line} {word}") > width - _MARGIN:
                lines.append(line)
                line = "   "
            line = f"{line} {word}"
        parts.append([*lines, line])
    return parts


def html_page(samples: Sequence[SamplePicture], title: str) -> str:
    """The same as one HTML page with the images inside."""
    from jinja2 import Environment, PackageLoader

    # The package's own template; every value is escaped.
    environment = Environment(loader=PackageLoader("clipbench.analysis", "templates"), autoescape=True)
    shown = [(sample, [_data_uri(image) for image in sample.images]) for sample in samples]
    return environment.get_template("contact_sheet.html").render(title=title, samples=shown)


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
