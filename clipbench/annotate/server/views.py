"""A pair as the page sees it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from clipbench.annotate.jobs import Job
from clipbench.annotate.records import SKIPPED, Pair
from clipbench.annotate.review import final_caption, status
from clipbench.annotate.server.workbench import Workbench
from clipbench.annotate.store import Store
from clipbench.annotate.suggestions import keyword_caption, suggested_order
from clipbench.data.images import decode


def pair_view(bench: Workbench, pair: Pair, submitted: Job | None = None) -> dict[str, Any]:
    """Everything a step needs: what has been entered, and suggestions for what has not.

    Args:
        bench: Where it lies.
        pair: It.
        submitted: A job that this request began. It may have failed before the answer, and nothing else says why.
    """
    job = submitted or bench.job(pair.id)
    draft = bench.draft(pair.id)
    view = short_view(bench, pair) | {
        "step": pair.step,
        "captions": [_caption(bench, text) for text in pair.photograph.captions],
        "caption": pair.photograph.captions.index(pair.caption) if pair.caption else None,
        "mask": _mask_address(pair, draft.number if draft else None),
        "preview": f"/api/items/{pair.id}/preview?{pair.mask}",
        "candidates": [
            {
                "id": one.id,
                "url": image_address(one.image),
                "seed": one.seed,
                "notes": one.notes,
                "word": one.replacement,
            }
            for one in pair.candidates
        ],
        "chosen": pair.chosen,
        "paints": bench.candidates,
        "seconds": bench.painter.seconds_per_candidate(),
        "job": None if job is None else job_view(bench, job.id),
    }
    return view | (_suggestions(bench, pair) if pair.caption else {})


def short_view(bench: Workbench, pair: Pair) -> dict[str, Any]:
    """A pair as a card of the list."""
    width, height = image_size(bench.store, pair.image)
    return {
        "id": pair.id,
        "state": "skipped" if pair.step == SKIPPED else status(pair),
        "annotator": pair.annotator if pair.origin == "person" else "",
        "photograph": {
            "url": image_address(pair.image),
            "width": width,
            "height": height,
            "name": pair.photograph.id,
            "license": pair.photograph.license,
        },
        "text": pair.caption,
        "new_caption": final_caption(pair),
        "rating": pair.rating,
        "chosen_url": image_address(pair.choice.image) if pair.choice else None,
    }


def job_view(bench: Workbench, number: str) -> dict[str, Any]:
    """How a job stands."""
    job = bench.jobs.get(number)
    return {
        "id": job.id, "label": job.label, "state": job.state, "step": job.step, "steps": job.steps,
        "seconds_left": job.seconds_left, "ahead": job.ahead, "stored": job.stored, "error": job.error,
    }  # fmt: skip


def image_address(name: str) -> str:
    """Where the page gets a picture of the set."""
    return f"/api/images/{name}"


def image_size(store: Store, name: str) -> tuple[int, int]:
    """Width and height of a picture of the set."""
    return _size(store.image_path(name))


@lru_cache(maxsize=4096)
def _size(path: Path) -> tuple[int, int]:
    """Of a file that never changes: it is named by its content."""
    return decode(path, path.name).size


def _mask_address(pair: Pair, draft: int | None) -> str | None:
    if draft is not None:
        return f"/api/items/{pair.id}/draft?{draft}"
    return image_address(pair.mask) if pair.mask else None


def _caption(bench: Workbench, text: str) -> dict[str, Any]:
    found = keyword_caption(bench.store.concept, text)
    return {"text": text, "start": found.start, "end": found.end}


def _suggestions(bench: Workbench, pair: Pair) -> dict[str, Any]:
    """Texts to begin with: what was entered, else what is suggested."""
    found = keyword_caption(bench.store.concept, pair.caption)
    words = suggested_order(found.replacements, pair.photograph.details.get("captions", ()), pair.id)
    word = pair.replacement or words[0]
    shown = pair.choice.replacement if pair.choice else word  # what the chosen picture shows
    return {
        "replacements": [{"word": each, "prompt": found.exchanged(each)} for each in words],
        "replacement": word,
        "mask_prompt": pair.mask_prompt or found.mask_prompt,
        "inpaint_prompt": pair.prompt or found.exchanged(word),
        "new_caption": final_caption(pair) or found.exchanged(shown),
    }
