"""Cola's multi-object pairs as published: a JSON list of URL, caption, URL, caption, and the downloaded images.

Source: Ray et al. 2023, https://github.com/arijitray1993/COLA. Images are named as in their
URLs, by their number in Visual Genome.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clipbench.data.annotations import Annotation, entries, open_annotations
from clipbench.data.records import RecordSource
from clipbench.data.text_files import first_folder

EXPECTS = "COLA_multiobjects_matching_benchmark.json + images/2414605.jpg …"
_NAME = "COLA_multiobjects_matching_benchmark.json"


def recognize(path: Path) -> Path | None:
    """The pairs, for a folder that holds them (or whose ``data/`` does), or for the file itself."""
    places = [path] if path.is_file() else [path / _NAME, path / "data" / _NAME]
    return next((file for file in places if file.name == _NAME and file.is_file()), None)


def open_layout(file: Path, location: str, images: Path | None = None) -> RecordSource:
    """Open the pairs."""
    root = file.parent.parent if file.parent.name == "data" else file.parent
    photos = images or first_folder(root, ("images", "imgs", "data/images", "."))
    return open_annotations("cola", location, {"multi_objects": file}, _read, photos)


def _read(part: str, path: Path) -> Iterator[Annotation]:
    for entry in entries(path, "url_1", "caption_1", "url_2", "caption_2"):
        files = tuple(entry.text(name).rpartition("/")[2] for name in ("url_1", "url_2"))
        yield Annotation(entry.key, files, (entry.text("caption_1"), entry.text("caption_2")))
