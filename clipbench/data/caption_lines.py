"""Files with one caption per line: the publishers' token files, and Kaggle's tables of the same data sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from clipbench.data.text_files import numbered_lines, text_encoding
from clipbench.errors import DataError
from clipbench.utils.files import open_regular

TWO_COLUMNS = ("image", "caption")
THREE_COLUMNS = ("image_name", "comment_number", "comment")
_TOKEN_LINE = re.compile(r"(?P<name>[^#\t]+)#(?P<index>\d+)\t(?P<caption>.*)", re.DOTALL)


def kaggle_header(path: Path) -> tuple[str, ...]:
    """The column names of one of Kaggle's tables, separated by commas or bars; empty for any other file."""
    if path.suffix not in (".csv", ".txt") or not path.is_file():
        return ()
    with open_regular(path) as file:
        first = file.readline(100).decode("utf-8-sig", "replace")
    names = tuple(re.split(r"\s*[|,]\s*", first.strip().lower()))
    return names if names in (TWO_COLUMNS, THREE_COLUMNS) else ()


def read_caption_lines(path: Path) -> dict[str, tuple[str, ...]]:
    """Captions by image, in the order of the file.

    Raises:
        DataError: It cannot be read, or a line has another format.
    """
    captions: dict[str, list[str]] = {}
    for name, caption in _table_lines(path) if kaggle_header(path) else _token_lines(path):
        captions.setdefault(name, []).append(caption)
    return {name: tuple(texts) for name, texts in captions.items()}


def _token_lines(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in numbered_lines(path):
        match = _TOKEN_LINE.fullmatch(line)
        if match is None:
            raise DataError(f"{path}, line {number}: expected NAME.jpg#k<TAB>caption, found {line[:60]!r}")
        yield match["name"], match["caption"]


def _table_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Commas within a caption need no quotes here: there is no column after it."""
    numbered = kaggle_header(path) == THREE_COLUMNS
    encoding, _ = text_encoding(path)
    separator = ","
    for number, line in numbered_lines(path, encoding=encoding):
        if number == 1:
            separator = "|" if "|" in line else ","
            continue
        name, found, caption = line.partition(separator)
        # In Flickr30k's, one of 158,915 lines lacks the second separator.
        index = re.match(rf"\s*\d+\s*{re.escape(separator)}?", caption) if numbered else re.match("", caption)
        if not found or index is None:
            raise DataError(f"{path}, line {number}: expected an image and its caption, found {line[:60]!r}")
        caption = caption[index.end() :].strip()
        if len(caption) > 1 and caption[0] == caption[-1] == '"':
            caption = caption[1:-1].replace('""', '"')
        yield name.strip(), caption
