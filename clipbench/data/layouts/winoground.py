"""Winoground as published: ``examples.jsonl`` and ``images/ex_0_img_0.png``.

Source: Thrush et al. 2022, https://huggingface.co/datasets/facebook/winoground (folder ``data/``, images unpacked).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from clipbench.data.annotations import Annotation, Entry, open_annotations
from clipbench.data.records import RecordSource
from clipbench.data.text_files import first_folder, numbered_lines
from clipbench.errors import DataError

EXPECTS = "examples.jsonl + images/ex_0_img_0.png …"


def recognize(path: Path) -> Path | None:
    """The examples, for a folder that holds them (or whose ``data/`` does), or for the file itself."""
    places = [path] if path.is_file() else [path / "examples.jsonl", path / "data/examples.jsonl"]
    return next((file for file in places if file.name == "examples.jsonl" and file.is_file()), None)


def open_layout(file: Path, location: str, images: Path | None = None) -> RecordSource:
    """Open the pairs; the fields ``tag``, ``secondary_tag`` and ``collapsed_tag`` give their kinds."""
    photos = images or first_folder(file.parent, ("images", "."))
    return open_annotations("winoground", location, {"test": file}, _read, photos)


def _read(part: str, path: Path) -> Iterator[Annotation]:
    for number, line in numbered_lines(path):
        where = f"{path}, line {number}"
        try:
            values = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: not JSON: {error}") from error
        if not isinstance(values, dict):
            raise DataError(f"{where}: expected an object, found {line[:60]!r}")
        entry = Entry(str(values.get("id", number - 1)), values, where)
        names = [entry.text(f"image_{index}") for index in (0, 1)]
        files = tuple(name if Path(name).suffix else f"{name}.png" for name in names)
        captions = tuple(entry.text(f"caption_{index}") for index in (0, 1))
        tags = {name: values[name] for name in ("tag", "secondary_tag", "collapsed_tag") if name in values}
        yield Annotation(entry.key, files, captions, fields=tags)
