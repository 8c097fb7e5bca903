"""Fashion200K as published: ``labels/dress_train_detect_all.txt`` … and the images they name.

Source: Han et al. 2017, https://github.com/xthan/fashion-200k. A line holds an image path, a detection
score and the product's description, separated by tabs. A product has several images and one description.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from clipbench.data.dataset import Provenance
from clipbench.data.image_files import ImageFiles
from clipbench.data.records import Record, RecordSource, sha256_of
from clipbench.data.text_files import numbered_lines
from clipbench.errors import DataError

EXPECTS = "labels/{dress,jacket,pants,skirt,top}_{train,test}_detect_all.txt + women/… .jpeg"
_PATTERN = "*_detect_all.txt"


def recognize(path: Path) -> tuple[Path, ...] | None:
    """The label files for a path: the root, its ``labels`` folder, or one of the files."""
    if path.is_file():
        return (path,) if path.match(_PATTERN) else None
    for folder in (path / "labels", path):
        if found := sorted(folder.glob(_PATTERN)):
            return tuple(found)
    return None


def open_layout(files: tuple[Path, ...], location: str, images: Path | None = None) -> RecordSource:
    """Open Fashion200K; rows are images, by label file and line.

    Raises:
        DataError: A label file cannot be read.
    """
    folder = files[0].parent
    root = folder.parent if folder.name == "labels" else folder
    # women.zip is unpacked next to labels/ or into a folder of its own.
    candidates = [base for base in (root, root / "images", root / "fashion200k") if (base / "women").is_dir()]
    photos = ImageFiles(images or (candidates[0] if candidates else root))
    details = {"images": str(photos.root), "labels": ", ".join(file.name for file in files)}
    provenance = Provenance("fashion200k", location, None, sha256_of(*files), details)
    return RecordSource(provenance, partial(_records, files, photos))


def _records(files: tuple[Path, ...], images: ImageFiles, where: Mapping[str, object]) -> Iterator[Record]:
    for file in files:
        for number, line in numbered_lines(file):
            parts = line.split("\t")
            if len(parts) != 3:
                raise DataError(f"{file}, line {number}: expected path<TAB>score<TAB>text, found {line[:60]!r}")
            name, _, caption = parts
            yield Record(name, (caption,), partial(images.refs, name))
