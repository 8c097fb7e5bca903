"""CSV, TSV, JSON Lines and JSON tables of image paths and captions, read row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from clipbench.data.columns import Columns, captions_of, choose_columns, false_captions_of, missing_column
from clipbench.data.dataset import HubTable, Provenance
from clipbench.data.records import (
    ImageFiles,
    Record,
    RecordSource,
    absent_ref,
    numbered_lines,
    read_json,
    sha256_of,
)
from clipbench.errors import DataError
from clipbench.types import ImageRef
from clipbench.utils.text import pluralize

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")


@dataclass(frozen=True, slots=True)
class _Line:
    """A row and its position: ``FILE, line 7``."""

    where: str
    values: Mapping[str, Any]


def open_text_table(
    path: Path, location: str, *, declared: HubTable | None, image_folder: Path | None = None
) -> RecordSource:
    """Open a table of image paths, absolute or relative to ``image_folder``, by default the table's folder.

    Raises:
        DataError: The file or its header cannot be read, or a column is missing.
    """
    columns = choose_columns(_column_names(path), declared=declared, where=str(path))
    images = ImageFiles(image_folder or path.parent, empty_is_missing=True)
    kind = path.suffix.lstrip(".").lower()
    provenance = Provenance(kind, location, None, sha256_of(path), {"columns": ", ".join(columns.all)})
    return RecordSource(provenance, partial(_records, path, columns, images), columns.fields, columns.constants)


def _records(path: Path, columns: Columns, images: ImageFiles, where: Mapping[str, object]) -> Iterator[Record]:
    for row, line in enumerate(_lines(path)):
        for name in columns.all:
            if name not in line.values:
                raise missing_column(name, list(line.values), line.where)
        captions = captions_of(line.values, columns, line.where)
        fields = {name: line.values[name] for name in columns.fields}
        false = false_captions_of(line.values, columns, line.where)
        yield Record(str(row), captions, partial(_refs, images, line, columns, row), fields, false)


def _refs(images: ImageFiles, line: _Line, columns: Columns, row: int) -> tuple[ImageRef, ...]:
    cells = ((column, line.values[column]) for column in columns.images)
    named = ((column, name) for column, cell in cells for name in (cell if isinstance(cell, list) else [cell]))
    return tuple(_ref(images, line, column, name, row) for column, name in named)


def _ref(images: ImageFiles, line: _Line, column: str, name: object, row: int) -> ImageRef:
    if name is None or name == "":
        return absent_ref(f"row {row}, {column}")
    if not isinstance(name, str):
        raise DataError(f"{line.where}, column {column}: expected an image's path, found {str(name)[:40]!r}")
    if name.startswith(("http://", "https://")):
        raise DataError(f"{line.where}, column {column}: {name[:60]} is a URL: download the images first")
    return images.ref(name)


def _column_names(path: Path) -> list[str]:
    if path.suffix.lower() in (".csv", ".tsv"):
        return _header(path)
    first = next(_lines(path), None)
    if first is None:
        raise DataError(f"{path}: the table is empty")
    return list(first.values)


def _lines(path: Path) -> Iterator[_Line]:
    match path.suffix.lower():
        case ".csv" | ".tsv":
            yield from _csv_lines(path)
        case ".json":
            yield from _json_items(path)
        case _:
            for number, text in numbered_lines(path):
                where = f"{path}, line {number}"
                yield _Line(where, _object(text, where))


def _header(path: Path) -> list[str]:
    head = next(_csv_rows(path), None)
    if head is None:
        raise DataError(f"{path}: the table is empty: expected a line of column names")
    names = head[1]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}, line 1: column {twice[0]!r} appears twice")
    return names


def _csv_lines(path: Path) -> Iterator[_Line]:
    names = _header(path)
    rows = _csv_rows(path)
    next(rows)
    for number, cells in rows:
        where = f"{path}, line {number}"
        if len(cells) != len(names):
            raise DataError(
                f"{where}: {pluralize(len(cells), 'cell')}, but the header has {pluralize(len(names), 'column')}"
            )
        yield _Line(where, dict(zip(names, cells, strict=True)))


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of their first line; strict, so that an unclosed quote is an error, not a giant cell."""
    start = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            for cells in reader:
                if cells:
                    yield start, cells
                start = reader.line_num + 1
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}, line {start}: invalid row: {error}") from error


def _json_items(path: Path) -> Iterator[_Line]:
    content = read_json(path)
    if not isinstance(content, list):
        raise DataError(f"{path}: expected a list of objects, found {type(content).__name__}")
    for row, item in enumerate(content):
        where = f"{path}, row {row}"
        if not isinstance(item, dict):
            raise DataError(f"{where}: expected an object, found {str(item)[:60]!r}")
        yield _Line(where, item)


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        item = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from error
    if not isinstance(item, dict):
        raise DataError(f"{where}: expected an object, found {text[:60]!r}")
    return item
