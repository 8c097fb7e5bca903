"""VL-CheckList as published: JSON lists in ``data/{Attribute,Object,Relation}/``, images in ``vg``, ``hake``, ``swig``.

Source: Zhao et al. 2022, https://github.com/om-ai-lab/VL-CheckList. An entry is
``["VG_100K/1.jpg", {"POS": ["a red car"], "NEG": ["a blue car"]}]``. The authors' code silently drops rows with missing
images, so published counts differ; here they are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clipbench.data.annotations import Annotation, Entry, entries, open_annotations
from clipbench.data.image_files import ImageFiles
from clipbench.data.records import RecordSource
from clipbench.data.text_files import first_folder
from clipbench.errors import DataError
from clipbench.types import ImageRef

EXPECTS = "data/Attribute/vg/action.json, … + vg/VG_100K/…, hake/…, swig/… (or ?images=FOLDER that holds them)"
_TYPES = ("Attribute", "Object", "Relation")
_FILES = 49


def recognize(path: Path) -> Path | None:
    """The folder that holds ``Attribute``, ``Object`` or ``Relation``: the path, or its ``data``."""
    return next((root for root in (path, path / "data") if any((root / name).is_dir() for name in _TYPES)), None)


def open_layout(root: Path, location: str, images: Path | None = None) -> RecordSource:
    """Open the types; the field ``collection`` names the file that a row is from."""
    files = sorted(file for name in _TYPES for file in (root / name).rglob("*.json"))
    parts: dict[str, list[Path]] = {}
    for file in files:
        parts.setdefault(_type(file.relative_to(root)), []).append(file)
    photos = images or first_folder(root.parent if root.name == "data" else root, ("images", "datasets", "."))
    gap = "" if len(files) == _FILES else f"{len(files)} annotation files where {_FILES} are published"
    return open_annotations("vl_checklist", location, parts, partial(_read, root), photos, refer=_image, gap=gap)


def _type(file: Path) -> str:
    """``attribute_color`` for ``Attribute/vg/color.json``; objects are one type, whatever their place and size."""
    if file.parts[0] == "Object":
        return "object"
    kind = "spatial" if "spatial" in file.stem else "action" if "action" in file.stem else file.stem
    return f"{file.parts[0].lower()}_{kind}"


def _read(root: Path, part: str, path: Path) -> Iterator[Annotation]:
    collection = path.relative_to(root).with_suffix("").as_posix()
    folder = next((name for name in ("hake", "swig") if name in collection), "vg")
    for entry in entries(path, "image", "texts"):
        texts = entry.values["texts"]
        if not isinstance(texts, dict):
            raise DataError(f"{entry.where}: expected POS and NEG, found {str(texts)[:60]!r}")
        sides = Entry(entry.key, texts, entry.where)
        fields = {"collection": collection, "photographs": folder}
        yield Annotation(
            f"{collection}/{entry.key}", (entry.text("image"),), sides.texts("POS"), sides.texts("NEG"), fields
        )


def _image(photos: ImageFiles, row: Annotation) -> tuple[ImageRef, ...]:
    """The image in its published place, or else anywhere below the folder."""
    (name,) = row.images
    published = f"{row.fields['photographs']}/{name}"
    return (photos.ref(published if photos.has(published) else name),)
