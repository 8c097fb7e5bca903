"""Flickr8k as published (``Flickr8k.token.txt`` with its split files), and as on Kaggle (``captions.txt``).

Source: Hodosh, Young and Hockenmaier 2013, https://doi.org/10.1613/jair.3994. Retrieval is reported on the 1,000 images
of ``Flickr_8k.testImages.txt``, which Kaggle's copy lacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from clipbench.data.caption_lines import TWO_COLUMNS, kaggle_header, read_caption_lines
from clipbench.data.dataset import Provenance
from clipbench.data.hub_splits import synonyms
from clipbench.data.image_files import ImageFiles
from clipbench.data.records import Record, RecordSource, sha256_of
from clipbench.data.text_files import first_folder, numbered_lines
from clipbench.errors import DataError
from clipbench.utils.text import pluralize

EXPECTS = (
    "Flickr8k.token.txt (+ Flickr_8k.testImages.txt), or Kaggle's captions.txt, + Images/1000268201_693b08cb0e.jpg …"
)
HAS_SPLITS = True
_CAPTIONS_NAME = "Flickr8k.token.txt"
_KAGGLE_NAME = "captions.txt"
_IMAGE_FOLDERS = ("Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset", "Flicker8k_Dataset/Flicker8k_Dataset")
_SPLITS = {"train": "train", "validation": "dev", "test": "test"}


def recognize(path: Path) -> Path | None:
    """The file of captions for a path: itself, or in a folder or its ``Flickr8k_text``."""
    if path.is_file():
        return path if path.name == _CAPTIONS_NAME or _is_kaggles(path) else None
    for file in (path / _CAPTIONS_NAME, path / "Flickr8k_text" / _CAPTIONS_NAME, path / _KAGGLE_NAME):
        if file.is_file() and (file.name == _CAPTIONS_NAME or _is_kaggles(file)):
            return file
    return None


def open_layout(file: Path, location: str, images: Path | None = None, split: str = "") -> RecordSource:
    """Open one split (by default ``test``) if its file exists, or else all images; rows are in file order.

    Raises:
        DataError: A file has an unexpected format, or there is no such split.
    """
    captions = read_caption_lines(file)
    name, total = _split_name(split, file), len(captions)
    listed = file.parent / f"Flickr_8k.{name}Images.txt"
    if listed.is_file():
        chosen = dict.fromkeys(line.strip() for _, line in numbered_lines(listed))
        absent = [image for image in chosen if image not in captions]
        if absent:
            raise DataError(f"{listed}: {absent[0][:60]} has no caption in {file.name}")
        captions = {image: texts for image, texts in captions.items() if image in chosen}
        problem = f"split {name}: {pluralize(len(captions), 'image')} of {total:,}"
    else:
        problem = (
            f"{listed.name} is not next to {file.name}: every image is used ({total:,} in all), so results cannot be"
            f" compared with published ones, which are of the {name} split"
        )
    photos = ImageFiles(images or _image_folder(file.parent))
    fingerprint = sha256_of(file, listed if listed.is_file() else None)
    details = {"images": str(photos.root), "n_images": str(len(captions)), "problem": problem}
    return RecordSource(
        Provenance("flickr8k", location, None, fingerprint, details), partial(_records, captions, photos)
    )


def _is_kaggles(path: Path) -> bool:
    return path.name == _KAGGLE_NAME and kaggle_header(path) == TWO_COLUMNS


def _split_name(split: str, file: Path) -> str:
    for name, own in _SPLITS.items():
        if (split or "test") in synonyms(name):
            return own
    raise DataError(f"{file}: no split {split!r}; the splits are: train, dev, test")


def _image_folder(folder: Path) -> Path:
    beside = first_folder(folder, _IMAGE_FOLDERS)
    return beside if beside.is_dir() or folder.name != "Flickr8k_text" else first_folder(folder.parent, _IMAGE_FOLDERS)


def _records(
    captions: Mapping[str, tuple[str, ...]], images: ImageFiles, where: Mapping[str, object]
) -> Iterator[Record]:
    for name, texts in captions.items():
        yield Record(name, texts, partial(images.refs, name))
