"""The images of logged samples: found where the run read them, and embedded in pages."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.errors import ResultError
from clipbench.evaluation.options import EvaluationOptions
from clipbench.evaluation.preparation import DataSources
from clipbench.results import Results
from clipbench.task_types.registry import find_task

if TYPE_CHECKING:
    from PIL import Image


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


def data_uri(image: Image.Image, pixels: int) -> str:
    """An image as a data URI, no larger than ``pixels`` on either side: JPEG or PNG, whichever is smaller."""
    small = image.convert("RGB")
    small.thumbnail((pixels, pixels))
    encoded = {}
    for kind, options in (("jpeg", {"quality": 85}), ("png", {"optimize": True})):
        buffer = io.BytesIO()
        small.save(buffer, kind, **options)
        encoded[kind] = buffer.getvalue()
    kind = min(encoded, key=lambda each: len(encoded[each]))
    return f"data:image/{kind};base64,{base64.b64encode(encoded[kind]).decode()}"
