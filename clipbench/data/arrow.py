"""Records from a table of the ``datasets`` library, downloaded or streamed, without decoding images.

A table on disk is memory-mapped: its text columns are scanned without its images, and an image is read when it
is opened. The rows of a streamed table hold their images in memory until they are released, so process them
one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.data.columns import Columns, captions_of, false_captions_of, fields_of
from clipbench.data.image_cells import images_in
from clipbench.data.image_files import ImageFiles
from clipbench.data.records import Record, absent_ref, content_digest
from clipbench.errors import DataError
from clipbench.types import ImageRef

if TYPE_CHECKING:
    from PIL import Image

_ROWS_A_BATCH = 256
# Few, because such a batch also holds the images.
_STREAMED_ROWS_A_BATCH = 16
_MISSING, _PRESENT = b"", b"+"

ImageStates = Mapping[str, list[bytes | None]]
"""By image column, the known state of each row's image: None (not read yet), ``_MISSING``, ``_PRESENT`` or a digest.
With it a source reads the bytes of an image only once to identify it, for any number of tasks."""


@dataclass(frozen=True, slots=True)
class Cell:
    """How to read one image of a table, now or later.

    Attributes:
        value: The cell of a streamed table; None if it is read from ``table``.
        table: A ``datasets.Dataset`` in Arrow format.
        row: Row number.
        column: Column name.
        files: The files that paths in the cell refer to.
        item: Index of the image in a cell with a list; None for a cell with a single image.
        listed: Whether the column holds lists of images.
    """

    row: int
    column: str
    files: ImageFiles
    table: Any = None
    value: Any = None
    item: int | None = None
    listed: bool = False

    def read(self) -> Any:
        """The image as an Arrow scalar, without copying."""
        value = self.value if self.table is None else self.table[self.row : self.row + 1].column(self.column)[0]
        return value if self.item is None else value[self.item]


def unknown_states(table: Any, columns: Columns) -> ImageStates:
    """The state of the images of a ``datasets.Dataset`` before the first pass."""
    return {column: [None] * len(table) for column in columns.images}


def scan(table: Any, columns: Columns, states: ImageStates, *, folder: Path, name: str) -> Iterator[Record]:
    """Records of a ``datasets.Dataset`` on disk, in row order.

    Args:
        table: The table.
        columns: Its columns.
        states: From ``unknown_states``; the caller keeps it between passes, and it is updated here.
        folder: Base of relative image paths.
        name: The table's name, for messages.

    Raises:
        DataError: A cell has the wrong type.
    """
    pictures = table.with_format("arrow")
    by_content = _one_caption_per_row(table.features, columns)
    files, lists = ImageFiles(folder, empty_is_missing=True), _list_columns(table.features, columns)
    for row, text in enumerate(texts(table, columns)):
        cells = [Cell(row, column, files, table=pictures, listed=column in lists) for column in columns.images]
        yield _record(f"{name}, row {row}", cells, text, columns, by_content=by_content, states=states)


def stream(table: Any, columns: Columns, numbers: Iterator[int], *, folder: Path, name: str) -> Iterator[Record]:
    """Records of a ``datasets.IterableDataset``.

    Args:
        table: The table, possibly filtered.
        columns: Its columns.
        numbers: Row numbers of its rows, in order.
        folder: Base of relative image paths.
        name: The table's name, for messages.

    Raises:
        DataError: A cell has the wrong type.
    """
    by_content = _one_caption_per_row(table.features, columns)
    files, lists = ImageFiles(folder, empty_is_missing=True), _list_columns(table.features, columns)
    for batch in table.with_format("arrow").iter(batch_size=_STREAMED_ROWS_A_BATCH):
        rows = batch.select(list(columns.readable)).to_pylist()
        for offset, (row, text) in enumerate(zip(numbers_of(numbers, len(rows)), rows, strict=True)):
            cells = [
                Cell(row, column, files, value=batch.column(column)[offset], listed=column in lists)
                for column in columns.images
            ]
            # The bytes are in memory anyway, and the number of rows is unknown: no state is kept.
            yield _record(f"{name}, row {row}", cells, text, columns, by_content=by_content, states={})


def numbers_of(numbers: Iterator[int], count: int) -> list[int]:
    """The next ``count`` row numbers.

    Raises:
        DataError: There are fewer, because the filtered stream has more rows than the scan of its fields.
    """
    taken = [number for _, number in zip(range(count), numbers, strict=False)]
    if len(taken) < count:
        raise DataError("the streamed table changed between reading its fields and its images: run it again")
    return taken


def texts(table: Any, columns: Columns) -> Iterator[dict[str, Any]]:
    """Captions and fields of all rows; image columns are not read."""
    batches: Iterable[Any] = (
        table.select_columns(list(columns.readable)).with_format("arrow").iter(batch_size=_ROWS_A_BATCH)
    )
    for batch in batches:
        yield from batch.to_pylist()


def _record(
    where: str,
    cells: list[Cell],
    text: Mapping[str, object],
    columns: Columns,
    *,
    by_content: bool,
    states: ImageStates,
) -> Record:
    fields = fields_of(text, columns)
    images = partial(_refs, cells, by_content=by_content, states=states)
    captions, false = captions_of(text, columns, where), false_captions_of(text, columns, where)
    return Record(str(cells[0].row), captions, images, fields, false)


def _one_caption_per_row(features: Mapping[str, Any], columns: Columns) -> bool:
    """Whether captions are plain strings: an image with five captions then takes five rows."""
    return all(getattr(features[name], "dtype", None) in ("string", "large_string") for name in columns.captions)


def _list_columns(features: Mapping[str, Any], columns: Columns) -> set[str]:
    return {column for column in columns.images if hasattr(features[column], "feature")}


def _refs(cells: list[Cell], *, by_content: bool, states: ImageStates) -> tuple[ImageRef, ...]:
    images = [image for cell in cells for image in _images_of(cell)]
    return tuple(_ref(image, by_content=by_content, alone=len(images) == 1, states=states) for image in images)


def _images_of(cell: Cell) -> list[Cell]:
    """The cell itself, or an entry for each image if it holds a list of them."""
    if not cell.listed:
        return [cell]
    value = cell.read()
    return [replace(cell, item=item) for item in range(len(value) if value.is_valid else 0)]


def _ref(cell: Cell, *, by_content: bool, alone: bool, states: ImageStates) -> ImageRef:
    label = f"row {cell.row}" if alone else f"row {cell.row}, {cell.column}"
    label += f"[{cell.item}]" if cell.item is not None and not alone else ""
    marks = states.get(cell.column) if cell.item is None else None
    mark = marks[cell.row] if marks else None
    if mark is None:
        content, path = _bytes_and_path(cell, label)
        if content is None and path:
            refs = images_in(path, cell.files, f"row {cell.row}", cell.column, label)
            if len(refs) != 1:
                raise DataError(f"{label}: column {cell.column} holds a list as text, not an image: {path[:60]!r}")
            return refs[0]
        mark = _mark(content, by_content=by_content)
        if marks:
            marks[cell.row] = mark
    if mark == _MISSING:
        return absent_ref(label)
    if by_content:
        return ImageRef(f"image {mark.hex()}", partial(_open, cell, label), content=partial(bytes, mark))
    return ImageRef(label, partial(_open, cell, label), content=partial(_content, cell, label))


def _mark(content: memoryview | None, *, by_content: bool) -> bytes:
    """What ``ImageStates`` keeps of an image's bytes.

    The same photograph in several rows has to be one image for retrieval, for clustered standard errors, and to
    be encoded once. Paths in cells do not identify images: many tables have none, or the same one in every row.
    """
    if not content:
        return _MISSING
    return content_digest(content) if by_content else _PRESENT


def _content(cell: Cell, label: str) -> bytes:
    content, _ = _bytes_and_path(cell, label)
    return content_digest(content or b"")


def _open(cell: Cell, label: str) -> Image.Image:
    from clipbench.data.images import decode

    content, _ = _bytes_and_path(cell, label)
    return decode(bytes(content) if content is not None else b"", label)


def _bytes_and_path(cell: Cell, label: str) -> tuple[memoryview | None, str | None]:
    """The content of a cell: raw bytes, ``{bytes, path}`` as the hub stores images, or a path."""
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
