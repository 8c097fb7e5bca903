"""A folder of images, each with a text file of the same name that holds one caption per line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from clipbench.data.dataset import Provenance
from clipbench.data.image_files import IMAGE_SUFFIXES, ImageFiles
from clipbench.data.records import Record, RecordSource, absent_ref
from clipbench.data.text_files import numbered_lines, read_bytes, text_encoding
from clipbench.errors import DataError
from clipbench.types import ImageRef
from clipbench.utils.text import pluralize


class CaptionedImages(NamedTuple):
    """Images in a folder and their caption files.

    Attributes:
        pairs: Caption file to the name of its image, or to None.
        uncaptioned: The number of images without a caption file.
    """

    pairs: Mapping[str, str | None]
    uncaptioned: int


def recognize(folder: Path) -> CaptionedImages | None:
    """Images and caption files of a folder and its subfolders; None if no image has a caption file.

    Raises:
        DataError: A caption file belongs to two images.
    """
    stems: dict[str, str] = {}
    texts = []
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.suffix.lower() in IMAGE_SUFFIXES:
            stem = name[: -len(file.suffix)]
            if stem in stems and (folder / f"{stem}.txt").is_file():
                raise DataError(
                    f"{folder}: {stem}.txt is next to two images, {stems[stem]} and {name}: keep one of them"
                )
            stems[stem] = name
        elif file.suffix == ".txt":
            texts.append(name)
    pairs = {name: stems.get(name.removesuffix(".txt")) for name in texts}
    if not any(pairs.values()):
        return None
    return CaptionedImages(pairs, len(stems.keys() - {name.removesuffix(".txt") for name in pairs}))


def open_folder(folder: Path, found: CaptionedImages, location: str, *, caption_a_line: bool = True) -> RecordSource:
    """Open such a folder; rows are text files by name. A text file without an image is a missing image.

    Args:
        folder: The folder.
        found: From ``recognize``.
        location: The folder as the user gave it.
        caption_a_line: Whether each line of a text file is a caption; otherwise, the whole file is one.

    Raises:
        DataError: A text file cannot be read.
    """
    digest, foreign = hashlib.sha256(), 0
    for text in found.pairs:
        foreign += bool(text_encoding(folder / text)[1])
        content = read_bytes(folder / text)
        digest.update(f"{text}\0{len(content)}\0".encode() + content)
    provenance = Provenance(
        "folder", location, None, f"texts:sha256={digest.hexdigest()}", {"n": str(len(found.pairs))}
    )
    if found.uncaptioned:
        provenance = provenance.with_problem(f"{pluralize(found.uncaptioned, 'image')} without a .txt not used")
    if foreign:
        provenance = provenance.with_problem(
            f"{pluralize(foreign, 'text file')} read as Windows-1252 (Latin-1), not UTF-8"
        )
    files = ImageFiles(folder, empty_is_missing=True)
    return RecordSource(provenance, partial(_records, folder, found.pairs, files, caption_a_line))


def _records(
    folder: Path,
    pairs: Mapping[str, str | None],
    images: ImageFiles,
    caption_a_line: bool,
    where: Mapping[str, object],
) -> Iterator[Record]:
    for text, image in pairs.items():
        encoding, _ = text_encoding(folder / text)
        lines = [line for _, line in numbered_lines(folder / text, encoding=encoding)]
        captions = tuple(lines if caption_a_line else ["\n".join(lines)])
        yield Record(image or text, captions, partial(_photo, images, image, text))


def _photo(images: ImageFiles, image: str | None, text: str) -> tuple[ImageRef, ...]:
    return (absent_ref(f"the image of {text}") if image is None else images.ref(image),)
