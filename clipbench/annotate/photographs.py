"""The photographs of a data set that can be annotated: they hold the concept, and may be adapted."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from clipbench.annotate.options import AnnotateOptions
from clipbench.annotate.records import Photograph
from clipbench.concepts import Concept
from clipbench.data import Dataset, Source, open_source
from clipbench.data.location import parse_location
from clipbench.errors import DataError
from clipbench.task_types.registry import known_tasks
from clipbench.types import ImageRef, Row
from clipbench.utils.text import pluralize

_SCENES_LICENSE: Final = "Made by clipbench; no rights reserved."
_COCO_TEXT_LICENSE: Final = "Creative Commons Attribution 4.0 License"
_DETAILS: Final = ("coco_url", "date_captured", "flickr_url")
_KEPT_AS_THEY_ARE: Final = {"JPEG": "jpg", "PNG": "png"}


@dataclass(frozen=True)
class Found:
    """What a data set gives.

    Attributes:
        photographs: Those that can be annotated.
        refs: Their pictures, by id.
        fingerprint: Equal fingerprints, equal rows.
        notes: What users should know, one line each.
        rows: Photographs in all.
        left_out: Why photographs are not among these, and how many.
    """

    photographs: tuple[Photograph, ...]
    refs: Mapping[str, ImageRef]
    fingerprint: str
    notes: tuple[str, ...]
    rows: int
    left_out: Mapping[str, int]


def open_data(options: AnnotateOptions) -> Source:
    """Open the data of the options.

    Raises:
        ConfigError, DataError: The location is invalid, or cannot be read.
    """
    ((name, place),) = options.data.items()
    if options.is_scenes:
        from clipbench.scenes.source import open_pictures

        return open_pictures(size=int(place))
    known = {task.dataset.name: task.dataset for task in known_tasks()}
    return open_source(*parse_location(known.get(name, Dataset(name, None)), place))


def find_photographs(source: Source, concept: Concept, image_license: str = "") -> Found:
    """The photographs with a keyword in a caption and a license that allows adaptation.

    Args:
        source: The data.
        concept: With the replacements that are painted (see ``paintable``).
        image_license: The license of photographs for which the data states none.

    Raises:
        DataError: There is none; says how many photographs there are, and why none of them can be used.
    """
    photographs: list[Photograph] = []
    refs: dict[str, ImageRef] = {}
    left_out: Counter[str] = Counter()
    notes, rows = [], 0
    for row in source.rows():
        rows += 1
        reason = _why_not(row, concept)
        if row.id in refs:
            reason = "share their id with another one"
        if reason is not None:
            left_out[reason] += 1
            continue
        one = _photograph(row, concept, source, image_license)
        photographs.append(one)
        refs[one.id] = row.images[0]
    left = "; ".join(f"{count:,} {reason}" for reason, count in left_out.most_common())
    if not photographs:
        detail = f": {left}" if left else ""
        raise DataError(
            f"{source.provenance.location}: no photograph to annotate for concept {concept.name}:"
            f" of {pluralize(rows, 'photograph')}{detail}"
        )
    if left:
        notes.append(f"{pluralize(len(photographs), 'photograph')} to annotate, of {rows:,}: {left}")
    if unknown := sum(not one.license for one in photographs):
        notes.append(
            f"the data states no license for {pluralize(unknown, 'photograph')}: make sure that they may be adapted,"
            " and state it in image_license"
        )
    elif image_license and all(one.license != image_license for one in photographs):
        notes.append("image_license is not used: the data states licenses")
    if problem := source.provenance.details.get("problem"):
        notes.append(problem)
    return Found(tuple(photographs), refs, source.provenance.fingerprint, tuple(notes), rows, dict(left_out))


def allows_adaptation(name: str, url: str = "") -> bool:
    """Whether a license allows adaptations to be published.

    Examples:
        >>> allows_adaptation("Attribution License"), allows_adaptation("Attribution-NoDerivs License")
        (True, False)
    """
    text = f"{name} {url}".lower()
    forbids = ("noderiv", "no deriv", "-nd", "/nd/", "all rights reserved", "all-rights-reserved")
    return bool(text.strip()) and not any(word in text for word in forbids)


def original(ref: ImageRef) -> tuple[bytes, str]:
    """A photograph as its file has it where that is a plain JPEG or PNG, else as PNG without loss.

    Returns:
        The file's content, and its suffix.

    Raises:
        DataError: It cannot be read.
    """
    from PIL import Image

    from clipbench.utils.files import read_regular

    shown = ref.open()
    if ref.path is not None:
        content = read_regular(ref.path)
        with Image.open(io.BytesIO(content)) as file:
            suffix = _KEPT_AS_THEY_ARE.get(file.format or "")
            # Others are read differently by different programs: rotation, transparency, 16 bits, CMYK.
            if suffix and file.mode in ("RGB", "L") and file.size == shown.size and not file.getexif().get(274, 0) > 1:
                return content, suffix
    encoded = io.BytesIO()
    shown.save(encoded, "PNG")
    return encoded.getvalue(), "png"


def _why_not(row: Row, concept: Concept) -> str | None:
    """Why a photograph cannot be annotated; None if it can."""
    if not row.images or len(row.images) > 1:
        return "are no single photograph"
    if not any(map(concept.matches, row.captions)):
        return f"have no keyword of {concept.name} in a caption"
    name, url = str(row.fields.get("license_name", "")), str(row.fields.get("license_url", ""))
    if "license_name" in row.fields and not allows_adaptation(name, url):
        return "have no license that allows adaptation"
    if row.images[0].missing:
        return "have no image file"
    return None


def _photograph(row: Row, concept: Concept, source: Source, image_license: str) -> Photograph:
    layout = source.provenance.layout
    scenes = layout == "scenes"
    name = str(row.fields.get("license_name", "")) or (_SCENES_LICENSE if scenes else image_license)
    number = str(row.fields.get("id", row.id))
    details: dict[str, Any] = {
        "captions": list(row.captions),
        **{field: str(row.fields.get(field) or "") for field in _DETAILS},
        "height": row.fields.get("height"),
        "id": int(number) if number.isascii() and number.isdecimal() and len(number) < 19 else None,
        "image_license": name,
        "text_license": _SCENES_LICENSE if scenes else _COCO_TEXT_LICENSE if layout == "coco" else "",
        "width": row.fields.get("width"),
    }
    matching = tuple(dict.fromkeys(text for text in row.captions if concept.matches(text)))
    return Photograph(row.id, matching, details)
