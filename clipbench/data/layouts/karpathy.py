"""Karpathy's splits of COCO, Flickr8k and Flickr30k: ``dataset_coco.json`` … and the images it names.

Source: Karpathy and Li 2015, https://cs.stanford.edu/people/karpathy/deepimagesent/. Retrieval is reported on ``test``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clipbench.data.dataset import Provenance
from clipbench.data.hub_splits import known_split
from clipbench.data.image_files import ImageFiles
from clipbench.data.records import Record, RecordSource, sha256_of
from clipbench.data.text_files import read_json
from clipbench.errors import DataError
from clipbench.utils.text import pluralize

EXPECTS = "dataset_coco.json, dataset_flickr8k.json or dataset_flickr30k.json + the images, in images/ or next to it"
HAS_SPLITS = True
_NAME = re.compile(r"dataset_(coco|flickr8k|flickr30k)\.json")
_IMAGE_FOLDERS = (
    "",
    "images",
    "Images",
    "flickr30k-images",
    "flickr30k_images",
    "Flicker8k_Dataset",
    "Flickr8k_Dataset",
)
_DEFAULT = "test"


@dataclass(frozen=True, slots=True)
class SplitImage:
    """An image in such a file.

    Attributes:
        name: Its path relative to the folder of images.
        split: Its split.
        captions: Its captions.
    """

    name: str
    split: str
    captions: tuple[str, ...]


def recognize(path: Path) -> Path | None:
    """The file, or the only such file in a folder.

    Raises:
        DataError: A folder has several.
    """
    if path.is_file():
        return path if _NAME.fullmatch(path.name) else None
    found = [file for file in sorted(path.glob("dataset_*.json")) if _NAME.fullmatch(file.name)]
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise DataError(f"{path}: several files of splits ({names}): name one of them as the path")
    return found[0] if found else None


def open_layout(file: Path, location: str, images: Path | None = None, split: str = "") -> RecordSource:
    """Open one split, or several joined by ``+``, by default ``test``; rows are images in file order.

    Raises:
        DataError: The file has another format, or no such split.
    """
    entries = read_images(file)
    counts = Counter(entry.split for entry in entries)
    wanted = [known_split(name, list(counts), str(file), or_only=False) for name in (split or _DEFAULT).split("+")]
    chosen = [entry for entry in entries if entry.split in wanted]
    photos = ImageFiles(images or _image_folder(file.parent, chosen[0].name))
    details = {"images": str(photos.root), "split": "+".join(wanted)}
    provenance = Provenance("karpathy", location, None, f"{sha256_of(file)};{'+'.join(wanted)}", details)
    others = ", ".join(f"{name} ({count:,})" for name, count in counts.items() if name not in wanted)
    if others:
        provenance = provenance.with_problem(
            f"split {'+'.join(wanted)}: {pluralize(len(chosen), 'image')} of {len(entries):,}; not used: {others}"
        )
    return RecordSource(provenance, partial(_records, chosen, photos))


def read_images(path: Path) -> list[SplitImage]:
    """All images of a file.

    Raises:
        DataError: It has another format, or names an image twice.
    """
    content = read_json(path)
    found: dict[str, SplitImage] = {}
    try:
        for image in content["images"]:
            folder, name = image.get("filepath", ""), image["filename"]
            name = f"{folder}/{name}" if folder else name
            if name in found:
                raise DataError(f"{path}: the image {name} appears twice")
            texts = tuple(sentence["raw"] for sentence in image["sentences"])
            if not all(isinstance(text, str) for text in (name, *texts)):
                raise TypeError(f"filename or raw is not a text at {str(image)[:80]}")
            found[name] = SplitImage(name, str(image.get("split", "")), texts)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not Karpathy's format: expected images with filename and sentences with raw;"
            f" {type(error).__name__}: {str(error)[:200]}"
        ) from error
    return list(found.values())


def _image_folder(folder: Path, name: str) -> Path:
    """The first folder that has the image; if none has, the standard one, which messages then name."""
    return next((folder / base for base in _IMAGE_FOLDERS if (folder / base / name).is_file()), folder / "images")


def _records(entries: list[SplitImage], images: ImageFiles, where: Mapping[str, object]) -> Iterator[Record]:
    for entry in entries:
        yield Record(entry.name, entry.captions, partial(images.refs, entry.name))
