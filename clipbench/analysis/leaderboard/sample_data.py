"""One logged sample as the page's gallery shows it: its texts, and what each model made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clipbench.analysis.contact_sheet import shown_scores
from clipbench.analysis.contact_sheet.differences import mark_differences
from clipbench.task_types import Task
from clipbench.types import LoggedSample

_BEST_TEXTS = 2  # of the texts that distract, those that each model scores highest


def sample_data(lines: Mapping[str, LoggedSample | None], task_type: type[Task]) -> dict[str, Any]:
    """One sample with the answers of all models that saw the same texts and images.

    Args:
        lines: Model to the sample in its log; None where it has none. At least one is there.
        task_type: The task's type.

    Returns:
        ``id``, ``images`` (their keys), ``texts`` (each split by ``mark_differences``), ``own`` (whether each text
        belongs to the image), ``count`` (texts that there are in all), and by model ``answers``: see ``_answer``.
    """
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
