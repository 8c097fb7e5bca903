"""Tables of captions, read in batches: parquet, and CSV or TSV with or without a header (CC3M's has none)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from clipbench.data import remote
from clipbench.data.columns import guess_captions, missing_column
from clipbench.errors import DataError
from clipbench.utils.text import reason
from clipbench.utils.urls import is_url

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET: Final = (".parquet",)
DELIMITED: Final = {".csv": ",", ".tsv": "\t"}
_ROWS_AT_ONCE = 65_536
_BLOCK_BYTES = 1 << 24
_LONGEST_LINE = 1 << 20
_URL_STARTS = ("http://", "https://")


def row_groups(url: str) -> list[int]:
    """The number of rows in each row group of a parquet file.

    Raises:
        DataError: It cannot be read.
    """
    import pyarrow.parquet as pq

    with opened(url) as file, explained(url):
        metadata = pq.ParquetFile(file).metadata
        return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def parquet_batches(url: str, groups: range) -> Iterator[pa.RecordBatch]:
    """The rows of some row groups of a parquet file, all columns.

    Raises:
        DataError: It cannot be read.
    """
    import pyarrow.parquet as pq

    with opened(url) as file, explained(url):
        yield from pq.ParquetFile(file).iter_batches(_ROWS_AT_ONCE, row_groups=list(groups))


def delimited_batches(url: str, delimiter: str) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV or TSV file, all columns as text.

    A file without a header, of captions and URLs, gets the columns ``caption`` and ``url``; nothing in it is quoted.

    Raises:
        DataError: It cannot be read.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    with opened(url) as file, explained(url):
        header = _header(url, file, delimiter)
        named = header is None
        names = ["caption", "url"] if header is None else header
        reader = arrow_csv.open_csv(
            file,
            arrow_csv.ReadOptions(block_size=_BLOCK_BYTES, column_names=names if named else None),
            arrow_csv.ParseOptions(
                delimiter=delimiter, quote_char=False if named else '"', newlines_in_values=not named
            ),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
        yield from reader


def caption_column(names: list[str], chosen: str | None, where: str) -> str:
    """The column of the captions: the chosen one, or the one with a well-known name.

    Raises:
        DataError: There is no such column, or several fit.
    """
    if chosen is not None:
        if chosen not in names:
            raise missing_column(chosen, names, where)
        return chosen
    found = guess_captions(names, where, how="with caption_column")
    if len(found) > 1:
        raise DataError(f"{where}: captions are in the columns {', '.join(found)}: name one with caption_column")
    return found[0]


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """A file or URL opened for reading bytes.

    Raises:
        DataError: It cannot be opened.
    """
    import fsspec

    with explained(url):
        file = fsspec.open(url, "rb").open()
    with file:
        yield file


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn errors of fsspec and Arrow into a ``DataError``."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # fsspec, its back ends and Arrow raise what they like
        if is_url(url):
            raise remote.failure(url, error) from None
        raise DataError(f"{url}: cannot be read: {reason(error)}") from None


def _header(url: str, file: Any, delimiter: str) -> list[str] | None:
    """The column names, or None if the first line is a caption and its URL."""
    line = file.readline(_LONGEST_LINE)
    file.seek(0)
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise DataError(f"{url}, line 1: not UTF-8 text") from None
    if not text:
        raise DataError(f"{url}: the table is empty")
    cells = text.split(delimiter)
    if len(cells) == 2 and cells[1].lower().startswith(_URL_STARTS):
        return None
    return next(csv.reader(io.StringIO(text), delimiter=delimiter))
