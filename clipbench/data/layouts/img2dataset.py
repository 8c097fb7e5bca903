"""The output of img2dataset as files: ``00000/000000000.jpg`` with ``.txt`` and ``.json``, and ``00000_stats.json``.

Source: https://github.com/rom1504/img2dataset. The tables next to the folders list URLs, not images.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from clipbench.data import image_folder
from clipbench.data.records import RecordSource
from clipbench.data.text_files import read_json
from clipbench.errors import DataError

EXPECTS = "00000/000000000.jpg with a .txt of the same name (img2dataset's output as files)"
_SHARD = re.compile(r"\d{5,}")


def recognize(path: Path) -> Path | None:
    """The path itself, if it is a folder with shards as subfolders; as tars they are no layout."""
    if not path.is_dir():
        return None
    shards = [entry for entry in path.iterdir() if _SHARD.fullmatch(entry.stem)]
    beside = any(entry.suffix == ".parquet" for entry in shards) or any(path.glob("*_stats.json"))
    return path if beside and any(entry.is_dir() for entry in shards) else None


def open_layout(path: Path, location: str, images: Path | None = None) -> RecordSource:
    """Open such a folder; rows are images by name, each with the whole of its text file as its caption.

    Raises:
        DataError: There are no captions, or a file cannot be read.
    """
    found = image_folder.recognize(path)
    if found is None:
        raise DataError(f"{path}: no image has a .txt: name the column of captions (caption_col) when downloading")
    source = image_folder.open_folder(path, found, location, caption_a_line=False)
    source.provenance = replace(source.provenance, layout="img2dataset").with_problem(download_losses(path))
    return source


def download_losses(path: Path) -> str:
    """A note on images that could not be downloaded, from the statistics beside the shards."""
    stats = [read_json(file) for file in sorted(path.glob("*_stats.json"))]
    try:
        asked, got = (sum(int(entry[name]) for entry in stats) for name in ("count", "successes"))
    except (KeyError, TypeError, ValueError):
        return ""
    return f"{asked - got:,} of {asked:,} images could not be downloaded (*_stats.json)" if got < asked else ""
