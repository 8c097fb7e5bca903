"""SBU Captioned Photos: a million URLs with captions, and the images that could still be downloaded.

Source: Ordonez et al. 2011, https://www.cs.rice.edu/~vo9/sbucaptions/. Captions come as
``sbu-captions-all.json`` or as two parallel text files. Downloaders name images differently; the scheme that
finds most images of a sample is used for all. Dead links leave missing images, which are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from clipbench.data.dataset import Provenance
from clipbench.data.image_files import ImageFiles
from clipbench.data.records import Record, RecordSource, sha256_of
from clipbench.data.text_files import numbered_lines, read_json
from clipbench.errors import DataError
from clipbench.utils.text import pluralize

EXPECTS = (
    "sbu-captions-all.json, or SBU_captioned_photo_dataset_urls.txt and …_captions.txt,"
    " + the downloaded images next to them or in images/"
)
_JSON_NAME = "sbu-captions-all.json"
_URLS_NAME = "SBU_captioned_photo_dataset_urls.txt"
_CAPTIONS_NAME = "SBU_captioned_photo_dataset_captions.txt"
_IMAGE_FOLDERS = ("images", "", "sbu_images", "sbu", "dataset", "train")
_SAMPLE_SIZE = 2000


def _by_url_name(row: int, url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


def _by_url_path(row: int, url: str) -> str:
    return urlsplit(url).path.lstrip("/")


def _by_number(digits: int, row: int, url: str) -> str:
    return f"{row:0{digits}d}.jpg"


def _by_img2dataset(row: int, url: str) -> str:
    """img2dataset's ``files`` output: folders of 10,000, numbered in the order of its input."""
    return f"{row // 10000:05d}/{row:09d}.jpg"


NAMINGS: dict[str, Callable[[int, str], str]] = {
    "last part of the URL": _by_url_name,
    "path of the URL": _by_url_path,
    "row number, 7 digits": partial(_by_number, 7),
    "row number": partial(_by_number, 1),
    "img2dataset": _by_img2dataset,
}


def recognize(path: Path) -> tuple[Path, ...] | None:
    """The caption file, or the two parallel files, for a path."""
    if path.is_file():
        if path.name == _JSON_NAME:
            return (path,)
        path = path.parent if path.name in (_URLS_NAME, _CAPTIONS_NAME) else path
    for folder in (path, path / "dataset"):
        if (folder / _JSON_NAME).is_file():
            return (folder / _JSON_NAME,)
        if (folder / _URLS_NAME).is_file() and (folder / _CAPTIONS_NAME).is_file():
            return (folder / _URLS_NAME, folder / _CAPTIONS_NAME)
    return None


def open_layout(files: tuple[Path, ...], location: str, images: Path | None = None) -> RecordSource:
    """Open SBU; rows are captions in file order; their ids are row numbers.

    Raises:
        DataError: A file has an unexpected format, or the two files differ in length.
    """
    urls, captions = _read_json(files[0]) if len(files) == 1 else _read_lines(*files)
    folders = [images] if images else [files[0].parent / name for name in _IMAGE_FOLDERS]
    photos, naming = _find_images(folders, urls)
    details = {"images": str(photos.root), "naming": naming}
    provenance = Provenance("sbu", location, None, sha256_of(*files), details)
    return RecordSource(provenance, partial(_records, urls, captions, photos, NAMINGS[naming]))


def _records(
    urls: Sequence[str],
    captions: Sequence[str],
    images: ImageFiles,
    name: Callable[[int, str], str],
    where: Mapping[str, object],
) -> Iterator[Record]:
    for row, (url, caption) in enumerate(zip(urls, captions, strict=True)):
        yield Record(str(row), (caption,), partial(images.refs, name(row, url)))


def _find_images(folders: Sequence[Path], urls: Sequence[str]) -> tuple[ImageFiles, str]:
    """The folder and naming scheme that find most images of a sample; the first if none finds any."""
    rows = range(0, len(urls), max(1, len(urls) // _SAMPLE_SIZE))
    best = (ImageFiles(folders[0], empty_is_missing=True), next(iter(NAMINGS)))
    most = 0
    for folder in folders:
        images = ImageFiles(folder, empty_is_missing=True)
        if not images.names():
            continue
        for naming, name in NAMINGS.items():
            hits = sum(images.has(name(row, urls[row])) for row in rows)
            if hits > most:
                best, most = (images, naming), hits
    return best


def _read_json(path: Path) -> tuple[list[str], list[str]]:
    content = read_json(path)
    try:
        urls, captions = content["image_urls"], content["captions"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: expected an object with lists image_urls and captions; {error} is missing") from error
    return _parallel(urls, captions, f"{path}: image_urls and captions")


def _read_lines(urls: Path, captions: Path) -> tuple[list[str], list[str]]:
    return _parallel(
        [line for _, line in numbered_lines(urls, keep_empty=True)],
        [line for _, line in numbered_lines(captions, keep_empty=True)],
        f"{urls} and {captions.name}",
    )


def _parallel(urls: object, captions: object, what: str) -> tuple[list[str], list[str]]:
    if not isinstance(urls, list) or not isinstance(captions, list):
        raise DataError(f"{what}: expected two lists")
    if len(urls) != len(captions):
        raise DataError(
            f"{what} differ in length: {pluralize(len(urls), 'URL')}, {pluralize(len(captions), 'caption')}"
        )
    for row, pair in enumerate(zip(urls, captions, strict=True)):
        if not all(isinstance(text, str) for text in pair):
            raise DataError(f"{what}, row {row}: expected two texts, found {str(pair)[:80]}")
    return urls, captions
