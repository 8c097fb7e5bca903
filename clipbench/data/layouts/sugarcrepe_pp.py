"""SugarCrepe++ as published: SugarCrepe's layout, with a second true caption per row.

Source: Dumpala et al. 2024, https://huggingface.co/datasets/Aman-J/SugarCrepe_pp, whose ``data/`` has the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clipbench.data.annotations import Annotation, entries, open_annotations
from clipbench.data.layouts.sugarcrepe import image_folder, recognize
from clipbench.data.records import RecordSource

__all__ = ["EXPECTS", "open_layout", "recognize"]

EXPECTS = "data/swap_obj.json, … with caption2 + val2017/000000000139.jpg … (or ?images=COCO/val2017)"


def open_layout(files: dict[str, Path], location: str, images: Path | None = None) -> RecordSource:
    """Open the parts; the field ``part`` holds the name of a row's file."""
    return open_annotations("sugarcrepe_pp", location, files, _read, images or image_folder(files))


def _read(part: str, path: Path) -> Iterator[Annotation]:
    for entry in entries(path):
        true = entry.text("caption"), entry.text("caption2")
        yield Annotation(entry.key, (entry.text("filename"),), true, (entry.text("negative_caption"),))
