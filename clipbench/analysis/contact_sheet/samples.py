"""A logged sample as a contact sheet shows it: its texts, with the comparisons that decided it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clipbench.analysis.contact_sheet.differences import mark_differences
from clipbench.types import LoggedSample
from clipbench.utils.text import excerpt, writable

LONGEST_TEXT = 600  # characters
_MOST_OWN = 8  # texts of a sample that belong to its image
_DIGITS, _MOST_DIGITS = 3, 9  # of a score; nine tell apart all float32 numbers of this size


@dataclass(frozen=True)
class ShownText:
    """A text with its scores.

    Attributes:
        parts: Parts of the text, each with whether it differs from the text that it competes with.
        scores: One for each image.
        best: For each score, whether no score that it competes with is higher: those with the sample's other images,
            or of a single image those of all texts.
        failed: It is part of a comparison that the model got wrong: a caption that does not prefer its own image, or a
            text that an image prefers to its own.
        label: What it is among texts that compete for one image: ``true``, ``winner``, ``tie`` or ``next``.
    """

    parts: tuple[tuple[str, bool], ...]
    scores: tuple[str, ...]
    best: tuple[bool, ...]
    failed: bool
    label: str = ""


@dataclass(frozen=True)
class ShownSample:
    """A sample.

    Attributes:
        id: Its id.
        right: Whether the model was right.
        texts: Of pairs all texts; of texts that compete for one image the true ones and the best of the others.
        note: The margin between the true text and the best other one, and the rank where one is logged.
    """

    id: str
    right: bool
    texts: tuple[ShownText, ...]
    note: str = ""


def show_sample(sample: LoggedSample, own: Sequence[bool]) -> ShownSample:
    """Choose what is shown of a sample.

    Args:
        sample: The sample.
        own: For each text, whether it belongs to one of the images.
    """
    name = excerpt(writable(sample.id), LONGEST_TEXT)
    if len(sample.images) > 1:
        return ShownSample(name, sample.correct, _among_images(sample))
    rank = sample.values.get("rank")
    notes = [f"rank {rank:,}"] if isinstance(rank, int) else []
    texts, margin = _among_texts(sample, own)
    return ShownSample(name, sample.correct, texts, ", ".join([*margin, *notes]))


def _among_images(sample: LoggedSample) -> tuple[ShownText, ...]:
    """Every text with its scores; ``texts[i]`` belongs to ``images[i]``, and further texts to none."""
    texts = []
    for place, scores in enumerate(_written(sample, range(len(sample.texts)))):
        values = [row[place] for row in sample.scores]
        best = tuple(value == max(values) for value in values)
        failed = place < len(best) and not (best[place] and sum(best) == 1)
        other = sample.texts[place - 1 if place else -1]
        texts.append(ShownText(_parts(sample.texts[place], other), scores, best, failed))
    return tuple(texts)


def _among_texts(sample: LoggedSample, own: Sequence[bool]) -> tuple[tuple[ShownText, ...], list[str]]:
    """The image's own texts and the best of the others, with the margin between the least similar own text and it."""
    scores = sample.scores[0]
    mine = [place for place, is_own in enumerate(own) if is_own][:_MOST_OWN]
    others = sorted((place for place, is_own in enumerate(own) if not is_own), key=lambda place: -scores[place])[:1]
    shown = [*mine, *others]
    written = _written(sample, shown)
    least = min((score for score, is_own in zip(scores, own, strict=True) if is_own), default=-1.0)
    texts = []
    for place, score in zip(shown, written, strict=True):
        rival = (others if own[place] else mine) or [place]
        label = "true" if own[place] else _label(scores[place] - least)
        failed = label in ("winner", "tie")
        best = scores[place] == max(scores[each] for each in shown)
        texts.append(ShownText(_parts(sample.texts[place], sample.texts[rival[0]]), score, (best,), failed, label))
    if not mine or not others:
        return tuple(texts), []
    digits = len(written[0][0].partition(".")[2])
    return tuple(texts), [f"margin {least - scores[others[0]]:+.{digits}f}".replace("-", "−")]


def _written(sample: LoggedSample, places: Sequence[int]) -> list[tuple[str, ...]]:
    return [tuple(score.replace("-", "−") for score in each) for each in shown_scores(sample.scores, places)]


def _label(lead: float) -> str:
    """What the best of the other texts is, by its lead over the true one."""
    return "tie" if lead == 0 else "winner" if lead > 0 else "next"


def _parts(text: str, other: str) -> tuple[tuple[str, bool], ...]:
    shown, compared = (excerpt(writable(each), LONGEST_TEXT) for each in (text, other))
    return mark_differences(shown, compared)


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
