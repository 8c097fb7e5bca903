"""SugarCrepe as published: one JSON file per part, with names of photographs of COCO val2017.

Source: Hsieh et al. 2023, https://github.com/RAIVNLab/sugar-crepe.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clipbench.data.annotations import Annotation, entries, open_annotations
from clipbench.data.records import RecordSource
from clipbench.data.text_files import first_folder
from clipbench.errors import DataError

EXPECTS = "add_att.json, … swap_obj.json + val2017/000000000139.jpg … (or ?images=COCO/val2017)"
_PARTS = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")
_IMAGE_FOLDERS = ("val2017", "images/val2017", "images", "coco/val2017", ".")


def recognize(path: Path) -> dict[str, Path] | None:
    """Part to file, for a folder with the files or with ``data/``, or for one of the files."""
    if path.is_file():
        return {path.stem: path} if path.suffix == ".json" and path.stem in _PARTS else None
    for folder in (path, path / "data"):
        if found := {part: folder / f"{part}.json" for part in _PARTS if (folder / f"{part}.json").is_file()}:
            return found
    return None


def open_layout(files: dict[str, Path], location: str, images: Path | None = None) -> RecordSource:
    """Open the parts; the field ``Negative_type`` holds a row's part, as in the copy on the hub."""
    photos = images or image_folder(files)
    return open_annotations("sugarcrepe", location, files, _read, photos, part_field="Negative_type")


def image_folder(files: dict[str, Path]) -> Path:
    """Where the photographs are expected relative to the files."""
    folder = next(iter(files.values())).parent
    return first_folder(folder.parent if folder.name == "data" else folder, _IMAGE_FOLDERS)


def _read(part: str, path: Path) -> Iterator[Annotation]:
    for entry in entries(path):
        if "caption2" in entry.values:
            raise DataError(f"{entry.where}: two true captions: this is SugarCrepe++, `data` sugarcrepe_pp=PATH")
        true, false = entry.text("caption"), entry.text("negative_caption")
        yield Annotation(entry.key, (entry.text("filename"),), (true,), (false,))
