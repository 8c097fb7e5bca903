"""A folder of images, each with a text file of the same name that holds one caption per line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from clipbench.data.dataset import Provenance
from clipbench.data.image_files import IMAGE_SUFFIXES, ImageFiles
from clipbench.data.records import Record, RecordSource, absent_ref
from clipbench.data.text_files import numbered_lines, read_bytes
from clipbench.types import ImageRef


def recognize(folder: Path) -> dict[str, str | None] | None:
    """Caption files of a folder and its subfolders, each with the name of its image; None if no image has one."""
    stems: dict[str, str] = {}
    texts = []
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.suffix.lower() in IMAGE_SUFFIXES:
            stems.setdefault(name[: -len(file.suffix)], name)
        elif file.suffix == ".txt":
            texts.append(name)
    pairs = {name: stems.get(name.removesuffix(".txt")) for name in texts}
    return pairs if any(pairs.values()) else None


def open_folder(folder: Path, pairs: Mapping[str, str | None], location: str) -> RecordSource:
    """Open such a folder; rows are text files by name. A text file without an image is a missing image.

    Raises:
        DataError: A text file cannot be read.
    """
    digest = hashlib.sha256()
    for text in pairs:
        content = read_bytes(folder / text)
        digest.update(f"{text}\0{len(content)}\0".encode() + content)
    provenance = Provenance("folder", location, None, f"texts:sha256={digest.hexdigest()}", {"n": str(len(pairs))})
    return RecordSource(provenance, partial(_records, folder, pairs, ImageFiles(folder, empty_is_missing=True)))


def _records(
    folder: Path, pairs: Mapping[str, str | None], images: ImageFiles, where: Mapping[str, object]
) -> Iterator[Record]:
    for text, image in pairs.items():
        captions = tuple(line for _, line in numbered_lines(folder / text))
        yield Record(image or text, captions, partial(_photo, images, image, text))


def _photo(images: ImageFiles, image: str | None, text: str) -> tuple[ImageRef, ...]:
    return (absent_ref(f"the image of {text}") if image is None else images.ref(image),)
