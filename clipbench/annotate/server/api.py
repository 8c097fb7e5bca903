"""What the page may ask for."""

from __future__ import annotations

from typing import Any

from starlette.responses import FileResponse, Response
from starlette.routing import Route

from clipbench.annotate.agreement import measure_agreement
from clipbench.annotate.reading import read_pairs
from clipbench.annotate.review import Reviewer
from clipbench.annotate.server.mask_api import IMMUTABLE, change, draft, preview, refine, save_mask
from clipbench.annotate.server.requests import Call, Handler, endpoint
from clipbench.annotate.server.views import job_view, pair_view, short_view
from clipbench.annotate.server.workbench import Workbench
from clipbench.annotate.suggestions import check_caption
from clipbench.errors import ClipbenchError, ConfigError

_TYPES = {"png": "image/png", "jpg": "image/jpeg"}


def routes(bench: Workbench) -> list[Route]:
    """The addresses under ``/api``."""
    item = "/items/{pair:int}"
    reading: dict[str, Handler] = {
        "/set": about,
        "/items": items,
        item: one_item,
        f"{item}/draft": draft,
        f"{item}/preview": preview,
        "/review": next_review,
        "/agreement": agreement,
        "/images/{name}": image,
        "/jobs/{job}": job,
    }
    doing: dict[str, Handler] = {
        "/next": next_item,
        f"{item}/use": use,
        f"{item}/skip": skip,
        f"{item}/back": back,
        f"{item}/segment": segment,
        f"{item}/refine/{{kind}}": refine,
        f"{item}/change/{{name}}": change,
        f"{item}/mask": save_mask,
        f"{item}/paint": paint,
        f"{item}/choose": choose,
        f"{item}/rate": rate,
        f"{item}/check": check,
        f"{item}/caption": caption,
        f"{item}/review": review,
        "/jobs/{job}/cancel": cancel,
    }
    return [
        Route(f"/api{path}", endpoint(bench, handler), methods=[method])
        for method, handlers in (("GET", reading), ("POST", doing))
        for path, handler in handlers.items()
    ]


def about(call: Call) -> dict[str, Any]:
    """The set, and how far it is."""
    facts: dict[str, Any] = {"concept": call.bench.store.concept.name}
    if call.annotator:
        progress = call.session.progress()
        facts |= {
            "photographs": progress.photographs, "left": progress.left, "finished": progress.done,
            "mine": progress.mine, "skipped": progress.skipped, "to_review": _waiting(call),
        }  # fmt: skip
    return facts


def next_item(call: Call) -> dict[str, Any]:
    """The next photograph, or that there is none."""
    pair = call.session.next(call.bench.busy())
    if pair is None:
        return {"none": "Every photograph has been handed out."}
    return pair_view(call.bench, pair)


def items(call: Call) -> dict[str, Any]:
    """What this annotator has made, newest first."""
    made = reversed(call.session.pairs())
    return {"items": [short_view(call.bench, pair) | {"mine": True} for pair in made]}


def one_item(call: Call) -> dict[str, Any]:
    """One pair."""
    return pair_view(call.bench, call.session.pair(call.pair))


def use(call: Call) -> dict[str, Any]:
    """Use the photograph with one of its captions."""
    pair = call.session.pair(call.pair)
    number = call.number("caption")
    if not 0 <= number < len(pair.photograph.captions):
        raise ConfigError(f"caption {number}: there are {len(pair.photograph.captions)}")
    after = call.session.use(call.pair, pair.photograph.captions[number])
    if after.caption != pair.caption:
        call.bench.forget_draft(call.pair)
    return pair_view(call.bench, after)


def skip(call: Call) -> dict[str, Any]:
    """Skip the photograph."""
    return pair_view(call.bench, call.session.skip(call.pair))


def back(call: Call) -> dict[str, Any]:
    """Go back to a step."""
    return pair_view(call.bench, call.session.go_back(call.pair, call.text("step")))


def segment(call: Call) -> dict[str, Any]:
    """Look for the object that a masking prompt names; the answer carries the job."""
    return pair_view(call.bench, *call.bench.find_mask(call.session, call.pair, call.text("prompt")))


def paint(call: Call) -> dict[str, Any]:
    """Paint candidates; the answer carries the job."""
    painting = call.bench.paint(call.session, call.pair, call.text("prompt"), call.text("replacement"))
    return pair_view(call.bench, *painting)


def choose(call: Call) -> dict[str, Any]:
    """Choose a candidate."""
    return pair_view(call.bench, call.session.choose(call.pair, call.number("candidate")))


def rate(call: Call) -> dict[str, Any]:
    """Rate the chosen candidate."""
    return pair_view(call.bench, call.session.rate(call.pair, call.text("rating")))


def check(call: Call) -> dict[str, Any]:
    """What is wrong with a new caption; empty if nothing is."""
    pair = call.session.pair(call.pair)
    try:
        check_caption(pair.caption, call.text("caption"), pair.keyword)
    except ClipbenchError as error:
        return {"problem": str(error)}
    return {"problem": ""}


def caption(call: Call) -> dict[str, Any]:
    """Set the new caption, which finishes the pair."""
    return pair_view(call.bench, call.session.set_caption(call.pair, call.text("caption")))


def next_review(call: Call) -> dict[str, Any]:
    """The next pair to review, or that there is none."""
    pair = Reviewer(call.bench.store, call.annotator).next()
    if pair is None:
        return {"none": "You have reviewed every pair that others have finished."}
    return pair_view(call.bench, pair)


def review(call: Call) -> dict[str, Any]:
    """Accept a pair, fix its caption, or reject it."""
    reviewer = Reviewer(call.bench.store, call.annotator)
    return pair_view(call.bench, reviewer.review(call.pair, call.text("decision"), call.text("caption")))


def agreement(call: Call) -> dict[str, Any]:
    """How far annotators and reviewers agree."""
    with call.bench.store.transaction() as db:
        lines = measure_agreement(read_pairs(db)).lines()
    missing = "Agreement is measured once two people have reviewed the same pairs, or annotated the same photographs."
    return {
        "figures": [{"label": label, "value": value} for label, value in lines],
        "notes": [] if lines else [missing],
    }


def image(call: Call) -> Response:
    """A picture of the set."""
    name = call.path["name"]
    path = call.bench.store.image_path(name)
    if not path.is_file():
        return Response(status_code=404)
    return FileResponse(path, media_type=_TYPES[path.suffix[1:]], headers=IMMUTABLE)


def job(call: Call) -> dict[str, Any]:
    """How a job stands."""
    return job_view(call.bench, call.path["job"])


def cancel(call: Call) -> dict[str, Any]:
    """Cancel a job."""
    call.bench.jobs.cancel(call.path["job"])
    return job_view(call.bench, call.path["job"])


def _waiting(call: Call) -> int:
    """How many pairs this annotator may still review."""
    reviewer = Reviewer(call.bench.store, call.annotator)
    return sum(all(one.reviewer != reviewer.reviewer for one in pair.reviews) for pair in reviewer.pairs())
