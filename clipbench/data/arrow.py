"""Records from a table of the ``datasets`` library, downloaded or streamed, decoding nothing.

A table that lies on disk is memory-mapped: its text columns are scanned without its images, and an image is
read when it is opened. A streamed table holds the bytes of the rows that were kept until they are let go,
so consume it as it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.data.columns import Columns, captions_of
from clipbench.data.records import Record, absent_ref, content_digest, file_ref
from clipbench.errors import DataError
from clipbench.types import ImageRef

if TYPE_CHECKING:
    from PIL import Image

_ROWS_A_BATCH = 256
# Few, because a batch of these holds the images too.
_STREAMED_ROWS_A_BATCH = 16
_MISSING, _THERE = b"", b"+"

Seen = Mapping[str, list[bytes | None]]
"""By image column, what earlier passes learnt of each row's bytes: None for nothing, else ``_MISSING``, ``_THERE`` or a
digest. So a source reads an image's bytes to name it once, however many tasks ask."""


@dataclass(frozen=True, slots=True)
class Cell:
    """How to read one image of a table, now or later.

    Attributes:
        value: The cell of a streamed table; None where it is read from ``table``.
        table: A ``datasets.Dataset`` in Arrow format.
        row: Row number.
        column: Column name.
        folder: What relative paths in the cell start from.
    """

    row: int
    column: str
    folder: Path
    table: Any = None
    value: Any = None

    def read(self) -> Any:
        """The cell as an Arrow scalar, without copying."""
        return self.value if self.table is None else self.table[self.row : self.row + 1].column(self.column)[0]


def nothing_seen(table: Any, columns: Columns) -> Seen:
    """What is known of the images of a ``datasets.Dataset`` before its first pass."""
    return {column: [None] * len(table) for column in columns.images}


def scan(table: Any, columns: Columns, seen: Seen, *, folder: Path, name: str) -> Iterator[Record]:
    """Records of a ``datasets.Dataset`` on disk, in row order.

    Args:
        table: The table.
        columns: Its columns.
        seen: From :func:`nothing_seen`, kept by the caller from pass to pass; it is filled in here.
        folder: What relative image paths start from.
        name: The table's name, for messages.

    Raises:
        DataError: A cell is not what its column should hold.
    """
    pictures = table.with_format("arrow")
    by_content = _one_caption_a_row(table.features, columns)
    for row, text in enumerate(texts(table, columns)):
        captions = captions_of(text, columns, f"{name}, row {row}")
        cells = [Cell(row, column, folder, table=pictures) for column in columns.images]
        yield _record(captions, cells, text, columns, by_content=by_content, seen=seen)


def stream(table: Any, columns: Columns, numbers: Iterator[int], *, folder: Path, name: str) -> Iterator[Record]:
    """Records of a ``datasets.IterableDataset``.

    Args:
        table: The table, maybe already filtered.
        columns: Its columns.
        numbers: Row numbers of its rows, in order.
        folder: What relative image paths start from.
        name: The table's name, for messages.

    Raises:
        DataError: A cell is not what its column should hold.
    """
    by_content = _one_caption_a_row(table.features, columns)
    readable = (*columns.captions, *columns.fields)
    for batch in table.with_format("arrow").iter(batch_size=_STREAMED_ROWS_A_BATCH):
        rows = batch.select(list(dict.fromkeys(readable))).to_pylist()
        for offset, (row, text) in enumerate(zip(numbers_of(numbers, len(rows)), rows, strict=True)):
            captions = captions_of(text, columns, f"{name}, row {row}")
            cells = [Cell(row, column, folder, value=batch.column(column)[offset]) for column in columns.images]
            # The bytes are here anyway, and nobody knows how many rows there will be: nothing is kept.
            yield _record(captions, cells, text, columns, by_content=by_content, seen={})


def numbers_of(numbers: Iterator[int], count: int) -> list[int]:
    """The next ``count`` row numbers.

    Raises:
        DataError: There are fewer: the filtered stream has rows that the scan of its fields has not.
    """
    taken = [number for _, number in zip(range(count), numbers, strict=False)]
    if len(taken) < count:
        raise DataError("the streamed table changed between the scan of its fields and its images: run it again")
    return taken


def texts(table: Any, columns: Columns) -> Iterator[dict[str, Any]]:
    """Captions and fields of every row; image columns are not read."""
    names = list(dict.fromkeys((*columns.captions, *columns.fields)))
    batches: Iterable[Any] = table.select_columns(names).with_format("arrow").iter(batch_size=_ROWS_A_BATCH)
    for batch in batches:
        yield from batch.to_pylist()


def _record(
    captions: tuple[str, ...],
    cells: list[Cell],
    text: Mapping[str, object],
    columns: Columns,
    *,
    by_content: bool,
    seen: Seen,
) -> Record:
    fields = {name: text[name] for name in columns.fields}
    return Record(str(cells[0].row), captions, partial(_refs, cells, by_content=by_content, seen=seen), fields)


def _one_caption_a_row(features: Mapping[str, Any], columns: Columns) -> bool:
    """Whether captions are plain strings: then an image with five captions fills five rows."""
    return all(getattr(features[name], "dtype", None) in ("string", "large_string") for name in columns.captions)


def _refs(cells: list[Cell], *, by_content: bool, seen: Seen) -> tuple[ImageRef, ...]:
    return tuple(_ref(cell, by_content=by_content, alone=len(cells) == 1, seen=seen) for cell in cells)


def _ref(cell: Cell, *, by_content: bool, alone: bool, seen: Seen) -> ImageRef:
    label = f"row {cell.row}" if alone else f"row {cell.row}, {cell.column}"
    marks = seen.get(cell.column)
    mark = marks[cell.row] if marks else None
    if mark is None:
        content, path = _bytes_and_path(cell, label)
        if content is None and path:
            file = cell.folder / path
            key = file.relative_to(cell.folder).as_posix() if file.is_relative_to(cell.folder) else path
            return file_ref(file, key, missing=not file.is_file() or not file.stat().st_size)
        mark = _mark(content, by_content=by_content)
        if marks:
            marks[cell.row] = mark
    if mark == _MISSING:
        return absent_ref(label)
    if by_content:
        return ImageRef(f"image {mark.hex()}", partial(_open, cell, label), content=partial(bytes, mark))
    return ImageRef(label, partial(_open, cell, label), content=partial(_content, cell, label))


def _mark(content: memoryview | None, *, by_content: bool) -> bytes:
    """What :data:`Seen` keeps of an image's bytes.

    The same photograph in several rows has to be one image: for retrieval, for standard errors by image, and to
    be encoded once. Paths inside cells are no help: many tables have none, or one name.
    """
    if not content:
        return _MISSING
    return content_digest(content) if by_content else _THERE


def _content(cell: Cell, label: str) -> bytes:
    content, _ = _bytes_and_path(cell, label)
    return content_digest(content or b"")


def _open(cell: Cell, label: str) -> Image.Image:
    from clipbench.data.images import decode

    content, _ = _bytes_and_path(cell, label)
    return decode(bytes(content) if content is not None else b"", label)


def _bytes_and_path(cell: Cell, label: str) -> tuple[memoryview | None, str | None]:
    """What a cell holds: raw bytes, ``{bytes, path}`` as the hub stores images, or a path."""
    import pyarrow as pa

    value = cell.read()
    path = None
    if isinstance(value, pa.StructScalar):
        names = {field.name for field in value.type}
        if "bytes" not in names:
            raise DataError(f"{label}: column {cell.column} holds a struct without bytes ({', '.join(sorted(names))})")
        if not value.is_valid:
            return None, None
        path = value["path"].as_py() if "path" in names else None
        value = value["bytes"]
    if pa.types.is_string(value.type) or pa.types.is_large_string(value.type):
        return None, value.as_py()
    if pa.types.is_null(value.type) or not value.is_valid:
        return None, path
    if pa.types.is_binary(value.type) or pa.types.is_large_binary(value.type):
        return memoryview(value.as_buffer()), path
    raise DataError(f"{label}: column {cell.column} holds {value.type}, not an image, its bytes or its path")
