"""Shared parts of all sources: records, filtering before images are accessed, references to images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from clipbench.data.dataset import Provenance
from clipbench.errors import DataError
from clipbench.types import ImageRef, Row
from clipbench.utils import digest
from clipbench.utils.files import read_regular

if TYPE_CHECKING:
    from PIL import Image


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
        class_names: The classes that the field ``label`` indexes, in data for classification.
        templates: Prompts for the classes that come with the data.
    """

    def __init__(
        self,
        provenance: Provenance,
        read: Callable[[Mapping[str, object]], Iterable[Record]],
        fields: tuple[str, ...] = (),
        constants: Iterable[tuple[str, str]] = (),
        *,
        class_names: Sequence[str] = (),
        templates: Sequence[str] = (),
    ) -> None:
        self.class_names, self.templates = tuple(class_names), tuple(templates)
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
            if not all(map(_is_unicode, (*record.captions, *record.false_captions))):
                raise DataError(f"{self.provenance.location}: a caption of row {record.id!r} contains a lone surrogate")
            yield Row(record.id, record.images(), record.captions, fields, record.false_captions)


def _is_unicode(text: str) -> bool:
    """Whether a text can be encoded: JSON may hold a lone surrogate, which no tokenizer accepts."""
    return text.isascii() or text.isprintable() or not any("\ud800" <= letter <= "\udfff" for letter in text)


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


def file_ref(path: Path, key: str, *, missing: bool) -> ImageRef:
    """A reference to an image file."""
    return ImageRef(key, partial(_decode, path, key), missing, partial(_file_content, path, key), path)


def bytes_ref(content: bytes, label: str) -> ImageRef:
    """A reference to an image whose encoded content is in memory; equal contents are one image.

    Args:
        content: The content of an image file.
        label: The image's name in messages.
    """
    digest = content_digest(content)
    key = f"image {digest.hex()}"
    return ImageRef(key, partial(_decode, content, label), content=partial(bytes, digest), digest=digest)


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
    try:
        return digest.file_digest(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
