"""COCO captions as published: ``annotations/captions_val2017.json`` and ``val2017/000000000139.jpg``.

Format: https://cocodataset.org/#format-data ("Image Captioning").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from clipbench.data.dataset import Provenance
from clipbench.data.image_files import ImageFiles
from clipbench.data.records import Record, RecordSource, sha256_of
from clipbench.data.text_files import read_json
from clipbench.errors import DataError
from clipbench.utils.text import pluralize

EXPECTS = "annotations/captions_val2017.json + val2017/000000000139.jpg …"
_DETAILS = ("coco_url", "date_captured", "flickr_url", "height", "width")
_CAPTION_FILE = re.compile(r"captions_(?P<split>[^/]+)\.json")


@dataclass(frozen=True, slots=True)
class _Photo:
    id: str
    file_name: str
    captions: tuple[str, ...]
    details: Mapping[str, object]


def recognize(path: Path) -> Path | None:
    """The caption file for a path: the file itself, or one in the folder or its ``annotations``.

    If a folder has several, val2017 is used, because the benchmarks are defined on it.

    Raises:
        DataError: Several caption files and none of them val2017.
    """
    if path.is_file():
        return path if _CAPTION_FILE.fullmatch(path.name) else None
    for folder in (path / "annotations", path):
        found = [file for file in sorted(folder.glob("captions_*.json")) if _CAPTION_FILE.fullmatch(file.name)]
        chosen = [file for file in found if file.name == "captions_val2017.json"] or found
        if len(chosen) > 1:
            names = ", ".join(file.name for file in chosen)
            raise DataError(f"{folder}: several caption files ({names}): name one of them as the path")
        if chosen:
            return chosen[0]
    return None


def open_layout(captions_file: Path, location: str, images: Path | None = None) -> RecordSource:
    """Open a COCO caption file; rows are images in file order, with their captions in file order.

    Raises:
        DataError: The file is not JSON, or not COCO captions.
    """
    photos, problem = _read_photos(captions_file)
    files = ImageFiles(images or _image_folder(captions_file, photos))
    match = _CAPTION_FILE.fullmatch(captions_file.name)
    split = match["split"] if match else "unknown"
    provenance = Provenance(
        "coco",
        location,
        None,
        sha256_of(captions_file),
        {"split": split, "captions": str(captions_file), "images": str(files.root)},
    )
    return RecordSource(provenance.with_problem(problem), partial(_records, photos, files))


def _records(photos: list[_Photo], images: ImageFiles, where: Mapping[str, object]) -> Iterator[Record]:
    for photo in photos:
        yield Record(photo.id, photo.captions, partial(images.refs, photo.file_name), photo.details)


def _read_photos(path: Path) -> tuple[list[_Photo], str]:
    """The images with their captions, and a note for users."""
    content = read_json(path)
    captions: dict[object, list[str]] = {}
    entry: Any = None
    try:
        files: dict[object, str] = {}
        for entry in content["images"]:
            if entry["id"] in files:
                twice = f"{files[entry['id']]} and {entry['file_name']}"
                raise DataError(f"{path}: two images have the id {str(entry['id'])[:60]}: {twice[:200]}")
            files[entry["id"]] = _text(entry["file_name"], "file_name")
        for entry in content["annotations"]:
            captions.setdefault(entry["image_id"], []).append(_text(entry["caption"], "caption"))
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not COCO captions: expected images with id and file_name, annotations with image_id"
            f" and caption; {type(error).__name__}: {error} at {str(entry)[:80]}"
        ) from error
    orphans = [image_id for image_id in captions if image_id not in files]
    if orphans:
        raise DataError(f"{path}: annotations of image {orphans[0]}, which is not among its images")
    licenses = _licenses(content)
    photos = [
        _Photo(str(entry["id"]), entry["file_name"], tuple(captions.get(entry["id"], ())), _details(entry, licenses))
        for entry in content["images"]
    ]
    return photos, _repeated_ids(content["annotations"])


def _licenses(content: Mapping[str, Any]) -> dict[object, dict[str, str]] | None:
    """License id to its name and address; None in a file that states no licenses."""
    entries = content.get("licenses")
    if not isinstance(entries, list) or not entries:
        return None
    read = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), int | str)]
    return {one["id"]: {f"license_{key}": str(one.get(key) or "") for key in ("name", "url")} for one in read}


def _details(entry: Mapping[str, Any], licenses: Mapping[object, dict[str, str]] | None) -> dict[str, object]:
    """What the file says about a photograph; an unknown license has an empty name and address."""
    details = {name: entry[name] for name in _DETAILS if name in entry}
    if licenses is not None:
        key = entry.get("license")
        there = licenses.get(key) if isinstance(key, int | str) else None
        details |= there or {"license_name": "", "license_url": ""}
    return details


def _repeated_ids(annotations: list[dict[str, Any]]) -> str:
    """A note on repeated ids. Captions do not need ids, but repeats may mean that files have been joined."""
    counts = Counter(str(entry.get("id")) for entry in annotations)
    repeated = [(name, count) for name, count in counts.items() if count > 1]
    if not repeated or len(counts) == 1:  # no ids at all, or the same for all
        return ""
    return (
        f"{pluralize(len(repeated), 'annotation id')} used more than once ({repeated[0][0][:40]}:"
        f" {repeated[0][1]} times): each of these captions is used"
    )


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} {value!r} is not a string")
    return value


def _image_folder(captions_file: Path, photos: list[_Photo]) -> Path:
    """``val2017`` next to ``annotations``, or in it, or ``images/val2017``: the first that exists.

    If none exists, the official folder: all images are then missing, and messages name the expected paths.
    """
    match = _CAPTION_FILE.fullmatch(captions_file.name)
    split = match["split"] if match else "val2017"
    roots = (captions_file.parent.parent, captions_file.parent)
    candidates = [root / name for root in roots for name in (split, f"images/{split}", "images")]
    for folder in candidates:
        if folder.is_dir():
            return folder
    same = captions_file.parent
    if photos and (same / photos[0].file_name).exists():
        return same
    official = captions_file.parent.name == "annotations"
    return candidates[0] if official else same / split
