"""Flickr30k as published: ``results_20130124.token`` and ``flickr30k-images/``.

Source: Young et al. 2014, https://shannon.cs.illinois.edu/DenotationGraph/. The token file names 31,783
images. Benchmarks, and the paper's Table 2, use the 31,014 of Karpathy's split (Karpathy and Li 2015), which
``dataset_flickr30k.json`` lists; that file also holds the captions and suffices alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clipbench.data.dataset import Provenance
from clipbench.data.image_files import ImageFiles
from clipbench.data.records import Record, RecordSource, sha256_of
from clipbench.data.text_files import first_folder, numbered_lines, read_json
from clipbench.errors import DataError

EXPECTS = "results_20130124.token and/or dataset_flickr30k.json + flickr30k-images/1000092795.jpg …"
_CAPTIONS_NAME = "results_20130124.token"
_SPLIT_NAME = "dataset_flickr30k.json"
_IMAGE_FOLDERS = ("flickr30k-images", "flickr30k_images", "images", "Images")
_TOKEN_LINE = re.compile(r"(?P<name>[^#\t]+)#(?P<index>\d+)\t(?P<caption>.*)", re.DOTALL)


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
        if path.suffix != ".token":
            return None
        return CaptionFiles(path, _existing(path.parent, _SPLIT_NAME))
    files = CaptionFiles(_existing(folder, _CAPTIONS_NAME), _existing(folder, _SPLIT_NAME))
    return files if files.token or files.split else None


def open_layout(files: CaptionFiles, location: str, images: Path | None = None) -> RecordSource:
    """Open Flickr30k; rows are images in file order.

    Raises:
        DataError: A file has an unexpected format.
    """
    karpathy = _read_split(files.split) if files.split else None
    if files.token is None:
        captions = karpathy or {}
    else:
        captions = _read_tokens(files.token)
        if karpathy is not None:
            captions = {name: texts for name, texts in captions.items() if name in karpathy}
    photos = ImageFiles(images or first_folder(files.folder, _IMAGE_FOLDERS))
    details = {"images": str(photos.root), "n_images": str(len(captions))}
    if karpathy is None:
        details["problem"] = (
            f"{_SPLIT_NAME} is not next to {_CAPTIONS_NAME}: every image is used ({len(captions)} in all), not the"
            " 31014 of Karpathy's split, so results cannot be compared with published ones"
        )
    provenance = Provenance("flickr30k", location, None, sha256_of(files.token, files.split), details)
    return RecordSource(provenance, partial(_records, captions, photos))


def _existing(folder: Path, name: str) -> Path | None:
    return folder / name if (folder / name).is_file() else None


def _records(
    captions: Mapping[str, tuple[str, ...]], images: ImageFiles, where: Mapping[str, object]
) -> Iterator[Record]:
    for name, texts in captions.items():
        yield Record(name, texts, partial(images.refs, name))


def _read_tokens(path: Path) -> dict[str, tuple[str, ...]]:
    captions: dict[str, list[str]] = {}
    for number, line in numbered_lines(path):
        match = _TOKEN_LINE.fullmatch(line)
        if match is None:
            raise DataError(f"{path}, line {number}: expected NAME.jpg#k<TAB>caption, found {line[:60]!r}")
        captions.setdefault(match["name"], []).append(match["caption"])
    return {name: tuple(texts) for name, texts in captions.items()}


def _read_split(path: Path) -> dict[str, tuple[str, ...]]:
    content = read_json(path)
    try:
        return {
            str(image["filename"]): tuple(str(sentence["raw"]) for sentence in image["sentences"])
            for image in content["images"]
        }
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not Karpathy's format: expected images with filename and sentences with raw;"
            f" {type(error).__name__}: {error}"
        ) from error
