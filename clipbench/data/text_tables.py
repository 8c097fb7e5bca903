"""CSV, TSV, JSON Lines and JSON tables of images and captions, read row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from clipbench.data.columns import (
    Columns,
    captions_of,
    choose_columns,
    false_captions_of,
    fields_of,
    missing_column,
    shorten,
)
from clipbench.data.dataset import HubTable, Provenance
from clipbench.data.image_cells import images_in
from clipbench.data.image_files import ImageFiles
from clipbench.data.records import Record, RecordSource, sha256_of
from clipbench.data.table_lines import Line, TextTable
from clipbench.types import ImageRef

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")


def open_text_table(
    path: Path, location: str, *, declared: HubTable | None, image_folder: Path | None = None
) -> RecordSource:
    """Open a table whose images are base64 or paths: absolute or relative to ``image_folder``, by default its own.

    Raises:
        DataError: The file or its header cannot be read, or a column is missing.
    """
    table = TextTable(path)
    columns = choose_columns(table.names, declared=declared, where=str(path))
    images = ImageFiles(image_folder or path.parent, empty_is_missing=True)
    kind = path.suffix.lstrip(".").lower()
    provenance = Provenance(kind, location, None, sha256_of(path), {"columns": shorten(columns.all)})
    provenance = provenance.with_problem(table.problem).with_problem(columns.problem)
    return RecordSource(provenance, partial(_records, table, columns, images), columns.fields, columns.constants)


def _records(table: TextTable, columns: Columns, images: ImageFiles, where: Mapping[str, object]) -> Iterator[Record]:
    needed = columns.all
    for row, line in enumerate(table.lines()):
        for name in needed:
            if name not in line.values:
                raise missing_column(name, list(line.values), line.where)
        captions = captions_of(line.values, columns, line.where)
        fields = fields_of(line.values, columns)
        false = false_captions_of(line.values, columns, line.where)
        yield Record(str(row), captions, partial(_refs, images, line, columns, row), fields, false)


def _refs(images: ImageFiles, line: Line, columns: Columns, row: int) -> tuple[ImageRef, ...]:
    return tuple(
        ref
        for name in columns.images
        for ref in images_in(line.values[name], images, line.where, name, f"row {row}, {name}")
    )
