"""Flickr8k as published (``Flickr8k.token.txt`` with its split files), and as on Kaggle (``captions.txt``).

Source: Hodosh, Young and Hockenmaier 2013, https://doi.org/10.1613/jair.3994. Retrieval is reported on the 1,000 images
of ``Flickr_8k.testImages.txt``. Kaggle's copy has no splits. The published lists or Karpathy's file must be put next to
it, so that no model is scored on photographs that it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clipbench.data.caption_lines import TWO_COLUMNS, kaggle_header, read_caption_lines
from clipbench.data.dataset import Provenance
from clipbench.data.hub_splits import synonyms
from clipbench.data.image_files import ImageFiles
from clipbench.data.layouts.karpathy import read_images
from clipbench.data.records import Record, RecordSource, sha256_of
from clipbench.data.text_files import first_folder, numbered_lines
from clipbench.errors import DataError
from clipbench.utils.text import pluralize

EXPECTS = (
    "Flickr8k.token.txt, or Kaggle's captions.txt, with Flickr_8k.testImages.txt + Images/1000268201_693b08cb0e.jpg …"
)
HAS_SPLITS = True
_CAPTIONS_NAME = "Flickr8k.token.txt"
_KAGGLE_NAME = "captions.txt"
_KARPATHY_NAME = "dataset_flickr8k.json"
_IMAGE_FOLDERS = ("Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset", "Flicker8k_Dataset/Flicker8k_Dataset")
_PUBLISHED = {"train": 6_000, "dev": 1_000, "test": 1_000}  # images of each split
_ALL = "all"
_NAMES_SHOWN = 3
_NO_PHOTOGRAPH = "2258277193_586949ec62.jpg.1"  # has captions in the published file, and there is no such photograph

Captions = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class SplitList:
    """The images of one or more splits.

    Attributes:
        names: The splits, by the names that the published files have.
        files: The files that list the images.
        images: Their names, each once.
    """

    names: tuple[str, ...]
    files: tuple[Path, ...]
    images: tuple[str, ...]


def recognize(path: Path) -> Path | None:
    """The file of captions for a path: itself, or in a folder or its ``Flickr8k_text``."""
    if path.is_file():
        return path if path.name == _CAPTIONS_NAME or _is_kaggles(path) else None
    for file in (path / _CAPTIONS_NAME, path / "Flickr8k_text" / _CAPTIONS_NAME, path / _KAGGLE_NAME):
        if file.is_file() and (file.name == _CAPTIONS_NAME or _is_kaggles(file)):
            return file
    return None


def open_layout(file: Path, location: str, images: Path | None = None, split: str = "") -> RecordSource:
    """Open Flickr8k; rows are images in the order of the captions.

    Args:
        file: The file of captions.
        location: What the user named.
        images: The folder of images; by default, it is looked for next to the captions.
        split: A split, or several joined by ``+``; ``all`` for every image with captions. By default ``test`` if it is
            listed, or else all images.

    Raises:
        DataError: A file has an unexpected format, there is no such split, or nothing lists its images.
    """
    captions = read_caption_lines(file)
    photos = ImageFiles(images or _image_folder(file.parent))
    chosen = None if split == _ALL else _find_split(split, file)
    kept, details = _all_images(captions, photos) if chosen is None else _images_of(chosen, captions, file)
    details |= {"images": str(photos.root), "n_images": str(len(kept))}
    fingerprint = sha256_of(file, *(chosen.files if chosen else ()))
    if chosen and chosen.files[0].name == _KARPATHY_NAME:
        fingerprint += f";{'+'.join(chosen.names)}"
    provenance = Provenance("flickr8k", location, None, fingerprint, details)
    return RecordSource(provenance, partial(_records, kept, photos))


def _is_kaggles(path: Path) -> bool:
    return path.name == _KAGGLE_NAME and kaggle_header(path) == TWO_COLUMNS


def _find_split(split: str, file: Path) -> SplitList | None:
    """The images of a split; None if none was asked for and ``test`` is not listed."""
    names = tuple(dict.fromkeys(_published_name(name, file) for name in (split or "test").split("+")))
    lists = [file.with_name(f"Flickr_8k.{name}Images.txt") for name in names]
    absent = next((path for path in lists if not path.is_file()), None)
    if absent is None:
        lines = (line.strip() for path in lists for _, line in numbered_lines(path))
        return SplitList(names, tuple(lists), tuple(dict.fromkeys(filter(None, lines))))
    karpathy = file.with_name(_KARPATHY_NAME)
    if karpathy.is_file():
        splits = {word for name in names for word in synonyms(name)}
        chosen = tuple(image.name for image in read_images(karpathy) if image.split in splits)
        return SplitList(names, (karpathy,), chosen)
    if split:
        raise DataError(
            f"{file}: nothing says which images are the {'+'.join(names)} split: put {absent.name} or {_KARPATHY_NAME}"
            f" next to {file.name}, or take every image with ?split={_ALL} after the place"
        )
    return None


def _published_name(split: str, file: Path) -> str:
    for name in _PUBLISHED:
        if split in synonyms(name):
            return name
    raise DataError(f"{file}: no split {split!r}; the splits are: {', '.join(_PUBLISHED)}, {_ALL}")


def _images_of(split: SplitList, captions: Captions, file: Path) -> tuple[Captions, dict[str, str]]:
    """The captions of a split, and what to say of it."""
    listed, label = ", ".join(path.name for path in split.files), "+".join(split.names)
    wanted = set(split.images)
    kept = {name: texts for name, texts in captions.items() if name in wanted}
    if not kept:
        raise DataError(f"{file}: has captions of none of the {label} images that {listed} names")
    published = sum(_PUBLISHED[name] for name in split.names)
    fewer = f"; as published it has {published:,}" if len(wanted) < published else ""
    details = {"split": label, "problem": f"split {label}: {pluralize(len(kept), 'image')} of {len(captions):,}{fewer}"}
    if absent := [name for name in split.images if name not in captions]:
        some = ", ".join(name[:60] for name in absent[:_NAMES_SHOWN]) + ", …" * (len(absent) > _NAMES_SHOWN)
        details["gap"] = f"{pluralize(len(absent), 'image')} of {listed} without captions in {file.name} ({some})"
    return kept, details


def _all_images(captions: Captions, photos: ImageFiles) -> tuple[Captions, dict[str, str]]:
    """All captions, except those of the published entry without a photograph, and what to say of them."""
    kept = {name: texts for name, texts in captions.items() if name != _NO_PHOTOGRAPH or photos.has(name)}
    problem = (
        f"every image is used ({len(kept):,} in all), so results cannot be compared with published ones, which are of"
        " the test split"
    )
    if len(kept) < len(captions):
        problem += f"; {_NO_PHOTOGRAPH} is left out: there is no such photograph"
    return kept, {"problem": problem}


def _image_folder(folder: Path) -> Path:
    beside = first_folder(folder, _IMAGE_FOLDERS)
    return beside if beside.is_dir() or folder.name != "Flickr8k_text" else first_folder(folder.parent, _IMAGE_FOLDERS)


def _records(captions: Captions, images: ImageFiles, where: Mapping[str, object]) -> Iterator[Record]:
    for name, texts in captions.items():
        yield Record(name, texts, partial(images.refs, name))
