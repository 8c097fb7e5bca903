"""Flickr30k as published: ``results_20130124.token`` and ``flickr30k-images/``.

Source: Young et al. 2014, https://shannon.cs.illinois.edu/DenotationGraph/. The token file names 31,783
images. Benchmarks, and the paper's Table 2, use the 31,014 of Karpathy's split (Karpathy and Li 2015), which
``dataset_flickr30k.json`` lists; that file also holds the captions and suffices alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clipbench.data.caption_lines import THREE_COLUMNS, kaggle_header, read_caption_lines
from clipbench.data.dataset import Provenance
from clipbench.data.image_files import ImageFiles
from clipbench.data.layouts.karpathy import read_images
from clipbench.data.records import Record, RecordSource, sha256_of
from clipbench.data.text_files import first_folder

EXPECTS = (
    "results_20130124.token (or Kaggle's results.csv) and/or dataset_flickr30k.json + flickr30k-images/1000092795.jpg …"
)
_CAPTIONS_NAME = "results_20130124.token"
_SPLIT_NAME = "dataset_flickr30k.json"
_IMAGE_FOLDERS = ("flickr30k-images", "flickr30k_images", "images", "Images")
_KAGGLE_NAMES = ("results.csv", "captions.txt")


@dataclass(frozen=True, slots=True)
class CaptionFiles:
    """The caption files of a copy; at least one of them exists."""

    token: Path | None
    split: Path | None

    @property
    def folder(self) -> Path:
        """The folder of the copy."""
        return (self.token or self.split or Path()).parent


def recognize(path: Path) -> CaptionFiles | None:
    """The caption files for a path: a folder that holds them, or one of them."""
    folder = path
    if path.is_file():
        if path.name == _SPLIT_NAME:
            return CaptionFiles(None, path)
        if path.suffix != ".token" and not _is_kaggles(path):
            return None
        return CaptionFiles(path, _existing(path.parent, _SPLIT_NAME))
    tables = (place / name for place in (folder, folder / _IMAGE_FOLDERS[1]) for name in _KAGGLE_NAMES)
    token = _existing(folder, _CAPTIONS_NAME) or next(filter(_is_kaggles, tables), None)
    files = CaptionFiles(token, _existing(folder, _SPLIT_NAME))
    return files if files.token or files.split else None


def open_layout(files: CaptionFiles, location: str, images: Path | None = None) -> RecordSource:
    """Open Flickr30k; rows are images in file order.

    Raises:
        DataError: A file has an unexpected format.
    """
    karpathy = {image.name: image.captions for image in read_images(files.split)} if files.split else None
    if files.token is None:
        captions = karpathy or {}
    else:
        captions = read_caption_lines(files.token)
        if karpathy is not None:
            captions = {name: texts for name, texts in captions.items() if name in karpathy}
    photos = ImageFiles(images or _image_folder(files.folder))
    details = {"images": str(photos.root), "n_images": str(len(captions))}
    if karpathy is None:
        captions_name = files.token.name if files.token else ""
        details["problem"] = (
            f"{_SPLIT_NAME} is not next to {captions_name}: every image is used ({len(captions)} in all), not the"
            " 31014 of Karpathy's split, so results cannot be compared with published ones"
        )
    provenance = Provenance("flickr30k", location, None, sha256_of(files.token, files.split), details)
    return RecordSource(provenance, partial(_records, captions, photos))


def _is_kaggles(path: Path) -> bool:
    return path.name in _KAGGLE_NAMES and kaggle_header(path) == THREE_COLUMNS


def _existing(folder: Path, name: str) -> Path | None:
    return folder / name if (folder / name).is_file() else None


def _records(
    captions: Mapping[str, tuple[str, ...]], images: ImageFiles, where: Mapping[str, object]
) -> Iterator[Record]:
    for name, texts in captions.items():
        yield Record(name, texts, partial(images.refs, name))


def _image_folder(folder: Path) -> Path:
    """The folder of images; in Kaggle's archive, it is inside another one of the same name."""
    found = first_folder(folder, _IMAGE_FOLDERS)
    return found / found.name if (found / found.name).is_dir() else found
