"""Text and JSON files, with errors that name file and line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipbench.errors import DataError
from clipbench.utils.files import open_regular, open_regular_text, read_regular
from clipbench.utils.json_files import RepeatedKey, unique_keys


def text_encoding(path: Path) -> tuple[str, str]:
    """The encoding of a text file, and a note about it.

    Returns:
        Python's name of UTF-8 or UTF-16, or of Windows-1252 (which includes the used part of Latin-1) if the first
        character outside ASCII is not UTF-8; and a note for the user, empty for UTF-8 and UTF-16.

    Raises:
        DataError: It cannot be read.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with open_regular(path) as file:
            block = file.read(1 << 20)
            if block[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                return "utf-16", ""
            while block:
                if not decoder.decode(block).removeprefix("\ufeff").isascii():
                    break  # UTF-8; if something later is not, the file is damaged
                block = file.read(1 << 20)
            else:
                decoder.decode(b"", final=True)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        before = bytes(error.object[: error.start]).removeprefix(codecs.BOM_UTF8)
        if before.isascii():
            return "cp1252", f"{path.name} is not UTF-8 and was read as Windows-1252 (Latin-1)"
    return "utf-8-sig", ""


def numbered_lines(path: Path, *, keep_empty: bool = False, encoding: str = "utf-8-sig") -> Iterator[tuple[int, str]]:
    r"""Lines of a text file with their numbers from 1, without line ends; empty lines are skipped by default.

    Only ``\n`` ends a line: captions contain other characters that ``str.splitlines`` treats as line ends.

    Raises:
        DataError: The file cannot be read, or is not text in this encoding.
    """
    number = 0
    try:
        with open_regular_text(path, encoding, newline="\n") as file:
            for number, line in enumerate(file, 1):
                text = line.removeprefix("\ufeff").rstrip("\r\n")  # joined files may have byte order marks inside
                if text or keep_empty:
                    yield number, text
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeError as error:
        name = "UTF-8" if encoding == "utf-8-sig" else encoding
        raise DataError(f"{path}, after line {number}: not {name} text: {error}") from error


def read_bytes(path: Path) -> bytes:
    """The content of a regular file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return read_regular(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: The file cannot be read, is not JSON, or an object has a key twice.
    """
    return parse_json(read_bytes(path), str(path))


def parse_json(text: str | bytes, where: str) -> Any:
    """Parse JSON.

    Raises:
        DataError: It is not JSON, or an object has a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except RepeatedKey as error:
        raise DataError(f"{where}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON, or truncated: {error}") from error


def first_folder(root: Path, names: tuple[str, ...]) -> Path:
    """The first folder that exists, else the first one, so that messages name the standard location."""
    return next((root / name for name in names if (root / name).is_dir()), root / names[0])
