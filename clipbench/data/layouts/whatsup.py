"""What'sUp as published: six JSON files with photographs next to them; the true caption comes first.

Source: Kamath et al. 2023, https://github.com/amitakamath/whatsup_vlms. The controlled sets name their images; rows of
COCO and Visual Genome are lists of an image's number, the true caption and a false one. The images of a set show the
same two objects in every relation, so they share their captions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clipbench.data.annotations import Annotation, Entry, entries, open_annotations
from clipbench.data.records import RecordSource
from clipbench.errors import DataError

EXPECTS = "controlled_images_dataset.json, … vg_qa_two_obj.json + controlled_images/…, val2017/…, vg_images/…"
_FILES = {
    "a": "controlled_images_dataset.json",
    "b": "controlled_clevr_dataset.json",
    "coco_one": "coco_qa_one_obj.json",
    "coco_two": "coco_qa_two_obj.json",
    "vg_one": "vg_qa_one_obj.json",
    "vg_two": "vg_qa_two_obj.json",
}

_AXES = {
    "left-right": (" left of ", " right of "),
    "front-behind": (" in front of ", " behind "),
    "on-under": (" on ", " under "),
}


def recognize(path: Path) -> dict[str, Path] | None:
    """Part to file, for a folder with the files or with ``data/``, or for one of the files."""
    if path.is_file():
        return {part: path for part, name in _FILES.items() if name == path.name} or None
    for folder in (path, path / "data"):
        if found := {part: folder / name for part, name in _FILES.items() if (folder / name).is_file()}:
            return found
    return None


def open_layout(files: dict[str, Path], location: str, images: Path | None = None) -> RecordSource:
    """Open the parts."""
    return open_annotations("whatsup", location, files, _read, images or next(iter(files.values())).parent)


def _read(part: str, path: Path) -> Iterator[Annotation]:
    for entry in entries(path, "number", "true", "false"):
        if "caption_options" in entry.values:
            name = entry.text("image_path").removeprefix("data/")
            true, *false = entry.texts("caption_options")
            fields = {"cluster": min(true, *false), "axis": _axis(true)}
        else:
            name, true, false = _numbered(part, entry), entry.text("true"), [entry.text("false")]
            fields = {}
        yield Annotation(entry.key, (name,), (true,), tuple(false), fields)


def _axis(caption: str) -> str:
    """The axis of a caption's relation, shared with the opposite relation."""
    return next((name for name, words in _AXES.items() if any(word in caption for word in words)), "other")


def _numbered(part: str, entry: Entry) -> str:
    number = str(entry.values["number"])
    if not number.isdigit():
        raise DataError(f"{entry.where}: {number[:40]!r} is not an image number")
    return f"val2017/{number:0>12}.jpg" if part.startswith("coco") else f"vg_images/{number}.jpg"
