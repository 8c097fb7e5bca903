"""What the page may ask for about masks, and pictures made from them."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import numpy as np
from PIL import Image
from starlette.responses import Response

from clipbench.annotate import masks
from clipbench.annotate.grabcut import grab_cut
from clipbench.annotate.server.requests import Call
from clipbench.annotate.server.views import pair_view
from clipbench.errors import ConfigError, DataError

_CHANGES = ("widen_x", "widen_y", "grow", "shrink")
_EDITS = (*_CHANGES, "clear", "brush", "eraser", "box", "stroke")
IMMUTABLE = {"cache-control": "private, max-age=31536000, immutable"}  # pictures are named by their content


def draft(call: Call) -> Response:
    """The mask that was found."""
    found = call.bench.draft(call.pair)
    if found is None:
        return Response(status_code=404)
    return _png(masks.to_png(found.mask))


def change(call: Call) -> Response:
    """The mask in the request, widened, grown or shrunk by a hundredth of the photograph's longer side."""
    name = call.path["name"]
    if name not in _CHANGES:
        raise ConfigError(f"change {name!r}: one of {', '.join(_CHANGES)}")
    size = _photograph(call).size
    mask, by = call.mask(size), max(1, round(max(size) / 100))
    if name == "grow":
        changed = masks.grow(mask, by)
    elif name == "shrink":
        changed = masks.shrink(mask, by)
    else:
        changed = masks.widen(mask, by * (name == "widen_x"), by * (name == "widen_y"))
    return _png(masks.to_png(changed))


def refine(call: Call) -> Response:
    """The object in the box, or under the stroke, that the request's mask draws."""
    photograph = _photograph(call)
    drawn = call.mask(photograph.size)
    if not drawn.any():
        raise DataError("mask: nothing was drawn: drag over the object")
    if call.path["kind"] == "stroke":
        found = grab_cut(photograph, foreground=drawn)
    elif call.path["kind"] == "box":
        rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        found = grab_cut(photograph, box=box)
    else:
        raise ConfigError(f"refine {call.path['kind']!r}: box or stroke")
    return _png(masks.to_png(found))


def save_mask(call: Call) -> dict[str, Any]:
    """Confirm a mask. ``edits`` names what was done to it by hand, for the record."""
    size = _photograph(call).size
    mask = call.mask(size)
    masks.check(mask, size)
    session, pair = call.session, call.session.pair(call.pair)
    if pair.step == "mask_prompt":  # drawn by hand: the prompt is a mere note
        pair = session.set_mask_prompt(call.pair, call.query.get("prompt") or pair.caption)
    found = call.bench.draft(call.pair)
    edits = Counter(edit for edit in call.query.get("edits", "").split(",")[:1000] if edit in _EDITS)
    details: dict[str, Any] = dict(call.bench.segmenter.details()) if found is not None else dict(pair.mask_details)
    details["edits"] = dict(edits)
    saved = session.save_mask(call.pair, mask, details)
    call.bench.forget_draft(call.pair)
    return pair_view(call.bench, saved)


def preview(call: Call) -> Response:
    """The photograph, dark outside of the mask."""
    pair = call.bench.pair(call.pair)
    photograph = call.bench.store.image(pair.image)
    dark = photograph.point([value * 3 // 10 for value in range(256)] * 3)
    mask = call.bench.store.mask(pair.mask)
    picture = Image.composite(photograph, dark, Image.fromarray(mask.astype(np.uint8) * 255))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return Response(file.getvalue(), media_type="image/jpeg", headers=IMMUTABLE)


def _photograph(call: Call) -> Image.Image:
    pair = call.bench.pair(call.pair)
    if not pair.image:
        raise ConfigError(f"pair {pair.id}: its photograph has not been opened")
    return call.bench.store.image(pair.image)


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png", headers={"cache-control": "no-store"})
