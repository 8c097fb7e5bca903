"""SugarCrepe and SugarCrepe++ as published: one JSON file a part, which names photographs of COCO val2017.

Sources: Hsieh et al. 2023, https://github.com/RAIVNLab/sugar-crepe (an object of id to entry); Dumpala et al. 2024,
https://huggingface.co/datasets/Aman-J/SugarCrepe_pp (a list of entries, with a second true caption).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clipbench.data.annotations import Annotation, entries, open_annotations
from clipbench.data.records import RecordSource
from clipbench.data.text_files import first_folder

EXPECTS = "add_att.json, … swap_obj.json + val2017/000000000139.jpg … (or ?images=COCO/val2017)"
_PARTS = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")


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
    folder = next(iter(files.values())).parent
    root = folder.parent if folder.name == "data" else folder
    photos = images or first_folder(root, ("val2017", "images/val2017", "images", "coco/val2017", "."))
    return open_annotations("sugarcrepe", location, files, _read, photos, part_field="Negative_type")


def _read(part: str, path: Path) -> Iterator[Annotation]:
    for entry in entries(path):
        true = [entry.text("caption")]
        if "caption2" in entry.values:
            true.append(entry.text("caption2"))
        yield Annotation(entry.key, (entry.text("filename"),), tuple(true), (entry.text("negative_caption"),))
