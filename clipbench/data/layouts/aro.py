"""ARO's Visual Genome parts as published: one JSON file each, and ``images/2407890.jpg``; a row shows part of an image.

Source: Yuksekgonul et al. 2023, https://github.com/mertyg/vision-language-models-are-bows. As in its code, the image is
cropped to the box before it is preprocessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.data.annotations import Annotation, Entry, entries, open_annotations
from clipbench.data.image_files import ImageFiles
from clipbench.data.records import RecordSource
from clipbench.data.text_files import first_folder
from clipbench.errors import DataError
from clipbench.types import ImageRef

if TYPE_CHECKING:
    from PIL import Image

EXPECTS = "visual_genome_relation.json and visual_genome_attribution.json + images/2407890.jpg …"
_FILES = {"vg_relation": "visual_genome_relation.json", "vg_attribution": "visual_genome_attribution.json"}
_BOX = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")


def recognize(path: Path) -> dict[str, Path] | None:
    """Part to file, for a folder with the files, or for one of them."""
    folder, given = (path.parent, path.name) if path.is_file() else (path, None)
    found = {part: folder / name for part, name in _FILES.items() if given in (None, name)}
    return {part: file for part, file in found.items() if file.is_file()} or None


def open_layout(files: dict[str, Path], location: str, images: Path | None = None) -> RecordSource:
    """Open the parts; the field ``relation_name`` or ``attributes`` holds what a row is about."""
    photos = images or first_folder(next(iter(files.values())).parent, ("images", "."))
    return open_annotations("aro", location, files, _read, photos, refer=_shown)


def _read(part: str, path: Path) -> Iterator[Annotation]:
    for entry in entries(path):
        name = entry.text("image_path")
        about: dict[str, object] = {"cluster": name, "box": _box(entry)}
        if part == "vg_relation":
            about["relation_name"] = entry.text("relation_name")
        else:
            about["attributes"] = entry.texts("attributes")
        yield Annotation(entry.key, (name,), (entry.text("true_caption"),), (entry.text("false_caption"),), about)


def _box(entry: Entry) -> tuple[int, ...] | None:
    """Left, top, width and height in pixels."""
    if not any(name in entry.values for name in _BOX):
        return None
    box = tuple(entry.values.get(name) for name in _BOX)
    numbers = [side for side in box if isinstance(side, int) and not isinstance(side, bool)]
    if len(numbers) < len(box) or numbers[2] < 1 or numbers[3] < 1:
        raise DataError(f"{entry.where}: {', '.join(_BOX)} are not a box: {box}")
    return tuple(numbers)


def _shown(photos: ImageFiles, row: Annotation) -> tuple[ImageRef, ...]:
    ref, box = photos.ref(row.images[0]), row.fields["box"]
    if not isinstance(box, tuple):
        return (ref,)
    return (ImageRef(f"{ref.key} {list(box)}", partial(_cut, ref, box), ref.missing, partial(_content, ref, box)),)


def _cut(ref: ImageRef, box: tuple[int, int, int, int]) -> Image.Image:
    left, top, width, height = box
    return ref.open().crop((left, top, left + width, top + height))


def _content(ref: ImageRef, box: tuple[int, ...]) -> bytes:
    return (ref.content() if ref.content else b"") + str(box).encode()
