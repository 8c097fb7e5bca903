"""Shared parts of all sources: records, filtering before images are accessed, references to image files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from clipbench.data.dataset import Provenance
from clipbench.errors import DataError
from clipbench.types import ImageRef, Row
from clipbench.utils.files import open_regular, open_regular_text, read_regular

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif", ".mpo")
)


@dataclass(frozen=True, slots=True)
class Record:
    """A row before its images are looked up: ``images`` is called only for rows that pass the filters."""

    id: str
    captions: tuple[str, ...]
    images: Callable[[], tuple[ImageRef, ...]]
    fields: Mapping[str, object] = field(default_factory=dict)
    false_captions: tuple[str, ...] = ()


class RecordSource:
    """A source that reads records with a function; implements the ``Source`` protocol.

    Args:
        provenance: Where the rows come from.
        read: Called once per pass; it may use its argument, ``where``, to skip rows early.
        fields: Names that ``where`` may use.
        constants: Fields with the same value in every row, which ``where`` may use too.
    """

    def __init__(
        self,
        provenance: Provenance,
        read: Callable[[Mapping[str, object]], Iterable[Record]],
        fields: tuple[str, ...] = (),
        constants: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.provenance = provenance
        self._read = read
        self._fields = fields
        self._constants = dict(constants)

    def rows(
        self,
        *,
        where: Mapping[str, object] | None = None,
        keep: Callable[[tuple[str, ...]], bool] | None = None,
    ) -> Iterator[Row]:
        """See ``clipbench.data.dataset.Source.rows``."""
        wanted = dict(where or {})
        unknown = [name for name in wanted if name not in self._fields and name not in self._constants]
        if unknown:
            there = f"its fields are {', '.join(self._fields)}" if self._fields else "this data has no fields"
            raise DataError(f"{self.provenance.location}: rows cannot be filtered by {', '.join(unknown)}: {there}")
        return self._filtered(wanted, keep)

    def _filtered(self, where: Mapping[str, object], keep: Callable[[tuple[str, ...]], bool] | None) -> Iterator[Row]:
        for record in self._read({name: value for name, value in where.items() if name not in self._constants}):
            fields = {**self._constants, **record.fields}
            if not all(holds(fields.get(name), value) for name, value in where.items()):
                continue
            if keep is not None and not keep(record.captions):
                continue
            yield Row(record.id, record.images(), record.captions, fields, record.false_captions)


def holds(cell: object, wanted: object) -> bool:
    """Whether a cell equals the value that rows are filtered by.

    CSV only stores text, so ``3`` also equals the text ``3``, and true equals ``true``, ``True`` and ``TRUE``. An
    empty cell equals no text, and ``1`` is not true.

    Examples:
        >>> holds("3", 3), holds("TRUE", True), holds(1, True), holds(None, "None")
        (True, True, False, False)
    """
    if isinstance(cell, bool) or isinstance(wanted, bool):
        return str(cell).lower() == str(wanted).lower()
    if cell is None or wanted is None:
        return cell is wanted
    return cell == wanted or str(cell) == str(wanted)


class ImageFiles:
    """Image files in a folder. Each folder is listed once, because checking every file is slow on network disks.

    Args:
        root: What names are relative to.
        empty_is_missing: Also check the size of requested files, because downloaders leave empty files for
            dead links.
    """

    def __init__(self, root: Path, *, empty_is_missing: bool = False) -> None:
        self.root = root
        self._empty_is_missing = empty_is_missing
        self._names: dict[str, frozenset[str]] = {}

    def names(self, folder: str = "") -> frozenset[str]:
        """Names of the entries of a folder, given relative to the root; empty if the folder does not exist."""
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(
                    os.listdir(self.root / folder)  # noqa: PTH208 (names are wanted, 118 k of them)
                )
            except (FileNotFoundError, NotADirectoryError):
                self._names[folder] = frozenset()
            except OSError as error:
                raise DataError(f"cannot list {self.root / folder}: {error.strerror}") from error
        return self._names[folder]

    def has(self, name: str) -> bool:
        """Whether the file exists (and is not empty, if empty files count as missing)."""
        folder, _, base = name.rpartition("/")
        if base not in self.names(folder):
            return False
        if not self._empty_is_missing:
            return True
        try:
            return (self.root / name).stat().st_size > 0
        except OSError:
            return False

    def ref(self, name: str) -> ImageRef:
        """A reference to the file ``name`` (with ``/``, relative to the root)."""
        return file_ref(self.root / name, name, missing=not self.has(name))

    def refs(self, name: str) -> tuple[ImageRef, ...]:
        """The images of a row that has one image file."""
        return (self.ref(name),)


def file_ref(path: Path, key: str, *, missing: bool) -> ImageRef:
    """A reference to an image file."""
    return ImageRef(key, partial(_decode, path, key), missing, partial(_file_content, path, key), path)


def absent_ref(key: str) -> ImageRef:
    """A reference to an image that is known to be missing."""
    return ImageRef(key, partial(_refuse, key), missing=True)


def content_digest(content: bytes | memoryview) -> bytes:
    """Digest of an image file's bytes, whether it is stored on disk or in a table."""
    return hashlib.blake2b(content, digest_size=16).digest()


def _file_content(path: Path, key: str) -> bytes:
    try:
        return content_digest(read_regular(path))
    except OSError as error:
        raise DataError(f"{key}: cannot read {path}: {error.strerror}") from error


def _decode(data: bytes | Path, key: str) -> Image.Image:
    from clipbench.data.images import decode

    return decode(data, key)


def _refuse(key: str) -> NoReturn:
    raise DataError(f"{key}: the dataset has no image here")


def sha256_of(*paths: Path | None) -> str:
    """Names and SHA-256 of files, as a fingerprint; None is skipped.

    Raises:
        DataError: A file cannot be read.
    """
    return ";".join(f"{path.name}:sha256={file_digest(path)}" for path in paths if path is not None)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits.

    Raises:
        DataError: The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()


def numbered_lines(path: Path, *, keep_empty: bool = False) -> Iterator[tuple[int, str]]:
    r"""Lines of a UTF-8 text file with their numbers from 1, without line ends; empty lines are skipped by default.

    Only ``\n`` ends a line: captions contain other characters that ``str.splitlines`` treats as line ends.

    Raises:
        DataError: The file cannot be read, or is not UTF-8.
    """
    number = 0
    try:
        with open_regular_text(path, newline="\n") as file:
            for number, line in enumerate(file, 1):
                text = line.removeprefix("\ufeff").rstrip("\r\n")  # files with a byte order mark that were joined
                if text or keep_empty:
                    yield number, text
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, after line {number}: not UTF-8 text: {error.reason}") from error


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
        DataError: The file cannot be read, or is not JSON.
    """
    content = read_bytes(path)
    try:
        return json.loads(content)
    except ValueError as error:
        raise DataError(f"{path}: not JSON, or truncated: {error}") from error


def first_folder(root: Path, names: tuple[str, ...]) -> Path:
    """The first folder that exists, else the first one, so that messages name the standard location."""
    return next((root / name for name in names if (root / name).is_dir()), root / names[0])
