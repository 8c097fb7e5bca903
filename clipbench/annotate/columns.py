"""The columns of InpaintCOCO (phiyodr/InpaintCOCO), filled from a pair."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from clipbench.annotate.records import Candidate, Pair
from clipbench.annotate.review import final_caption, status
from clipbench.annotate.store import Store
from clipbench.training.markdown import public_text
from clipbench.utils.text import writable

if TYPE_CHECKING:
    import datasets

_OWN_FIELDS = ("model", "revision")


def features() -> datasets.Features:
    """Column names and types, in the published order.

    ``coco_details`` is the published struct. ``inpaint_details`` and ``mask_details`` have further fields at their
    ends, for what a set of one's own has to say: seeds, models, origin.
    """
    import datasets

    text, number, real = datasets.Value("string"), datasets.Value("int64"), datasets.Value("float64")
    texts, image = datasets.List(text), datasets.Image()
    return datasets.Features(
        {
            "concept": text,
            "coco_caption": text,
            "coco_image": image,
            "inpaint_caption": text,
            "inpaint_image": image,
            "mask": image,
            "worker": text,
            "coco_details": {
                "captions": texts, "coco_url": text, "date_captured": text, "flickr_url": text, "height": number,
                "id": number, "image_license": text, "text_license": text, "width": number,
            },
            "inpaint_details": {
                "duration": number, "guidance_scale": real, "num_inference_steps": number, "prompt": text,
                "prompts_used": texts, "quality": text, "seed": number, "seeds_used": datasets.List(number),
                "model": text, "revision": text, "settings": text, "keyword": text, "replacement": text,
                "origin": text, "review": text, "selected_by": text,
            },
            "mask_details": {
                "height_factor": number, "prompt": text, "prompts_used": texts, "width_factor": number, "model": text,
                "revision": text, "settings": text,
            },
        }
    )  # fmt: skip


def row_of(store: Store, concept: str, pair: Pair, chosen: Candidate) -> dict[str, Any]:
    """A finished pair as a row, its images encoded as in the set's files; the mask as RGB of 0 and 255.

    Raises:
        DataError: A picture cannot be read.
    """
    from PIL import Image

    mask = store.mask(chosen.mask)
    name = re.sub(r"[^\w.-]+", "_", pair.photograph.id, flags=re.ASCII)[:80]
    encoded = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB").save(encoded, "PNG")
    height, width = mask.shape
    return {
        "concept": concept,
        "coco_caption": writable(pair.caption),
        "coco_image": _file(store, pair.image, name),
        "inpaint_caption": writable(final_caption(pair)),
        "inpaint_image": _file(store, chosen.image, f"{name}-{pair.id}"),
        "mask": {"bytes": encoded.getvalue(), "path": f"{name}-{pair.id}-mask.png"},
        "worker": writable(pair.annotator),
        "coco_details": {**pair.photograph.details, "height": height, "width": width},
        "inpaint_details": _inpaint_details(pair, chosen),
        "mask_details": _mask_details(pair),
    }


def _file(store: Store, image: str, name: str) -> dict[str, Any]:
    path = store.image_path(image)
    return {"bytes": path.read_bytes(), "path": f"{name}{path.suffix}"}


def _inpaint_details(pair: Pair, chosen: Candidate) -> dict[str, Any]:
    return {
        "duration": None if pair.seconds is None else round(pair.seconds),
        "guidance_scale": _number(chosen.details.get("guidance_scale"), float),
        "num_inference_steps": _number(chosen.details.get("steps"), int),
        "prompt": chosen.prompt,
        "prompts_used": list(pair.prompts),
        "quality": pair.rating,
        "seed": chosen.seed,
        "seeds_used": [candidate.seed for candidate in pair.candidates],
        **_model(chosen.details, "inpainter"),
        "keyword": chosen.keyword,
        "replacement": chosen.replacement,
        "origin": pair.origin,
        "review": status(pair),
        "selected_by": public_text(chosen.details.get("selected_by", "")),
    }


def _mask_details(pair: Pair) -> dict[str, Any]:
    edits = pair.mask_details.get("edits")
    times = edits if isinstance(edits, Mapping) else {}
    return {
        "height_factor": int(times.get("widen_y", 0)),
        "prompt": pair.mask_prompt,
        "prompts_used": list(pair.mask_prompts),
        "width_factor": int(times.get("widen_x", 0)),
        **_model(pair.mask_details, "segmenter"),
    }


def _number(value: object, kind: type[float]) -> float | None:
    return kind(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _model(details: Mapping[str, Any], role: str) -> dict[str, str]:
    """The model, its revision, and everything else that it says about itself as JSON."""
    settings = {name: value for name, value in details.items() if name not in (*_OWN_FIELDS, role)}
    model = details.get("model") or details.get(role) or ""
    return {
        "model": public_text(model),
        "revision": str(details.get("revision") or ""),
        "settings": json.dumps(settings, sort_keys=True, default=str) if settings else "",
    }
