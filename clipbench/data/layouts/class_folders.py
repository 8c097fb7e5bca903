"""Images in one folder per class (``dog/1.jpg``, ``cat/2.jpg``), as torchvision reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from clipbench.data.dataset import Provenance
from clipbench.data.image_files import IMAGE_SUFFIXES, ImageFiles
from clipbench.data.records import Record, RecordSource

EXPECTS = "a folder per class with its images, or such folders in test/ or val/"
_SPLITS = ("test", "val", "validation")


def recognize(path: Path) -> tuple[Path, dict[str, list[str]]] | None:
    """The root of the folders, and each class's images by name."""
    if not path.is_dir():
        return None
    for root in (*(path / split for split in _SPLITS), path):
        if not root.is_dir():
            continue
        classes = {folder.name: _images(folder) for folder in sorted(root.iterdir()) if folder.is_dir()}
        classes = {name: images for name, images in classes.items() if images}
        if len(classes) > 1:
            return root, classes
    return None


def _images(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)


def open_layout(found: tuple[Path, dict[str, list[str]]], location: str, images: Path | None = None) -> RecordSource:
    """Open such folders; a class's number is the position of its folder in alphabetical order."""
    root, classes = found
    names = "".join(f"{name}/{image}\n" for name, some in classes.items() for image in some)
    fingerprint = f"names:sha256={hashlib.sha256(names.encode('utf-8', 'surrogateescape')).hexdigest()}"
    provenance = Provenance("class_folders", location, None, fingerprint, {"classes": str(len(classes))})
    return RecordSource(provenance, partial(_records, root, classes), ("label",), class_names=list(classes))


def _records(root: Path, classes: Mapping[str, list[str]], where: Mapping[str, object]) -> Iterator[Record]:
    files = ImageFiles(root)
    for place, (name, images) in enumerate(classes.items()):
        for image in images:
            key = f"{name}/{image}"
            yield Record(key, (), partial(files.refs, key), {"label": place})
