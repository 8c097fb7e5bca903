"""Lines of CSV, TSV, JSON Lines and JSON tables, with their positions."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipbench.data.text_files import numbered_lines, parse_json, read_bytes, text_encoding
from clipbench.errors import DataError
from clipbench.utils.files import open_regular_text
from clipbench.utils.text import pluralize

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_LONGEST_CELL = 1 << 26  # characters: images may be in cells


@dataclass(frozen=True, slots=True)
class Line:
    """A row and its position: ``FILE, line 7``."""

    where: str
    values: Mapping[str, Any]


class TextTable:
    """A table in a text file, read row by row.

    Args:
        path: A ``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson`` or ``.json`` file.

    Attributes:
        path: The file.
        names: Its columns; of JSON, those of the first row.
        encoding: Python's name of it.
        problem: A note for users on how it is read; empty if there is none.

    Raises:
        DataError: The file or its header cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.encoding, self.problem = text_encoding(path)
        self._dialect: dict[str, Any] = {}
        if path.suffix.lower() in (".csv", ".tsv"):
            self.names = self._read_header()
            return
        first = next(self.lines(), None)
        if first is None:
            raise DataError(f"{path}: the table is empty")
        self.names = list(first.values)

    def lines(self) -> Iterator[Line]:
        """Yield the rows.

        Raises:
            DataError: A row cannot be read.
        """
        match self.path.suffix.lower():
            case ".csv" | ".tsv":
                yield from self._csv_lines()
            case ".json":
                yield from self._json_items()
            case _:
                for number, text in numbered_lines(self.path, encoding=self.encoding):
                    where = f"{self.path}, line {number}"
                    yield Line(where, _object(parse_json(text, where), where))

    def _read_header(self) -> list[str]:
        """The column names. The delimiter is the file type's own, unless only another one yields several columns."""
        own = "\t" if self.path.suffix.lower() == ".tsv" else ","
        best: list[str] = []
        for delimiter in (own, *_DELIMITERS):
            try:
                with closing(self._csv_rows({"delimiter": delimiter})) as rows:
                    head = next(rows, None)
            except DataError:  # "image";"caption" is invalid where commas are expected
                if delimiter == "|" and not best:
                    raise
                continue
            if head is None:
                raise DataError(f"{self.path}: the table is empty: expected a line of column names")
            if len(head[1]) > max(1, len(best)) or not best:
                best = head[1]
                # "image, caption": the space belongs to the delimiter.
                spaced = any(name.startswith(" ") for name in best)
                self._dialect = {"delimiter": delimiter, "skipinitialspace": spaced}
            if len(best) > 1 and delimiter == own:
                break
        with closing(self._csv_rows(self._dialect)) as rows:
            names = [name.strip() for name in next(rows)[1]]
        twice = [name for name, count in Counter(names).items() if name and count > 1]
        if twice:
            raise DataError(f"{self.path}, line 1: column {twice[0][:60]!r} appears twice")
        return names

    def _csv_lines(self) -> Iterator[Line]:
        rows = self._csv_rows(self._dialect)
        next(rows, None)
        for number, cells in rows:
            where = f"{self.path}, line {number}"
            if len(cells) != len(self.names):
                raise DataError(
                    f"{where}: {pluralize(len(cells), 'cell')}, but the header has"
                    f" {pluralize(len(self.names), 'column')}{self._delimiter_note()}"
                )
            yield Line(where, dict(zip(self.names, cells, strict=True)))

    def _delimiter_note(self) -> str:
        delimiter = self._dialect["delimiter"]
        return "" if delimiter in ",\t" else f" (separated by a {_DELIMITERS[delimiter]})"

    def _csv_rows(self, dialect: Mapping[str, Any]) -> Generator[tuple[int, list[str]], None, None]:
        """Rows with the number of their first line; strict, so that an unclosed quote is an error, not a huge cell."""
        start = 1
        csv.field_size_limit(max(_LONGEST_CELL, csv.field_size_limit()))
        try:
            with open_regular_text(self.path, self.encoding, newline="") as file:
                reader = csv.reader(file, strict=True, **dialect)
                for cells in reader:
                    if cells:
                        yield start, cells
                    start = reader.line_num + 1
        except OSError as error:
            raise DataError(f"cannot read {self.path}: {error.strerror}") from error
        except (csv.Error, UnicodeError) as error:
            raise DataError(f"{self.path}, line {start}: invalid row: {error}") from error

    def _json_items(self) -> Iterator[Line]:
        try:
            text = read_bytes(self.path).decode(self.encoding)
        except UnicodeError as error:
            raise DataError(f"{self.path}: not {self.encoding} text: {error}") from error
        items = parse_json(text, str(self.path))
        if not isinstance(items, list):
            raise DataError(
                f"{self.path}: expected a list of objects, found {type(items).__name__}: write a row each"
                " (pandas: to_json(orient='records'))"
            )
        for row, item in enumerate(items):
            where = f"{self.path}, row {row}"
            yield Line(where, _object(item, where))


def _object(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise DataError(f"{where}: expected an object, found {json.dumps(item)[:60]!r}")
    return item
