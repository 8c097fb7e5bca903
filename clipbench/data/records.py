"""What all sources share: records, filtering before images are touched, references to image files."""

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

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif", ".mpo")
)


@dataclass(frozen=True, slots=True)
class Record:
    """A row before its images are looked up: ``images`` is called for rows that pass the filters only."""

    id: str
    captions: tuple[str, ...]
    images: Callable[[], tuple[ImageRef, ...]]
    fields: Mapping[str, object] = field(default_factory=dict)


class RecordSource:
    """A source made of a function that reads records; satisfies the ``Source`` protocol.

    Args:
        provenance: Where the rows come from.
        read: Called anew for each pass; gets ``where`` so that it may skip rows early (it need not).
        fields: Names that ``where`` may use.
    """

    def __init__(
        self,
        provenance: Provenance,
        read: Callable[[Mapping[str, object]], Iterable[Record]],
        fields: tuple[str, ...] = (),
    ) -> None:
        self.provenance = provenance
        self._read = read
        self._fields = fields

    def rows(
        self,
        *,
        where: Mapping[str, object] | None = None,
        keep: Callable[[tuple[str, ...]], bool] | None = None,
    ) -> Iterator[Row]:
        """See :meth:`clipbench.data.dataset.Source.rows`."""
        wanted = dict(where or {})
        unknown = [name for name in wanted if name not in self._fields]
        if unknown:
            there = f"its fields are {', '.join(self._fields)}" if self._fields else "this data has no fields"
            raise DataError(f"{self.provenance.location}: rows cannot be chosen by {', '.join(unknown)}: {there}")
        return self._filtered(wanted, keep)

    def _filtered(self, where: Mapping[str, object], keep: Callable[[tuple[str, ...]], bool] | None) -> Iterator[Row]:
        for record in self._read(where):
            if not all(holds(record.fields.get(name), value) for name, value in where.items()):
                continue
            if keep is not None and not keep(record.captions):
                continue
            yield Row(record.id, record.images(), record.captions, record.fields)


def holds(cell: object, wanted: object) -> bool:
    """Whether a cell holds the value that rows are chosen by.

    CSV knows text only, so ``3`` also fits the text ``3``, and true fits ``true``, ``True`` and ``TRUE``. An
    empty cell fits no text, and ``1`` is not true.

    >>> holds("3", 3), holds("TRUE", True), holds(1, True), holds(None, "None")
    (True, True, False, False)
    """
    if isinstance(cell, bool) or isinstance(wanted, bool):
        return str(cell).lower() == str(wanted).lower()
    if cell is None or wanted is None:
        return cell is wanted
    return cell == wanted or str(cell) == str(wanted)


class ImageFiles:
    """Image files below a folder. Each folder is listed once: a look at every file is slow on network disks.

    Args:
        root: What names are relative to.
        empty_is_missing: Also look at the size of files asked for, since downloaders leave empty files
            behind dead links.
    """

    def __init__(self, root: Path, *, empty_is_missing: bool = False) -> None:
        self.root = root
        self._empty_is_missing = empty_is_missing
        self._names: dict[str, frozenset[str]] = {}

    def names(self, folder: str = "") -> frozenset[str]:
        """Names of what lies in a folder given relative to the root; empty where there is no such folder."""
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
        """Whether there is such a file (with something in it, where empty means missing)."""
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
    """A reference to an image that is known not to be there."""
    return ImageRef(key, partial(_refuse, key), missing=True)


def content_digest(content: bytes | memoryview) -> bytes:
    """Digest of an image file's bytes: the same wherever the file lies, on disk or in a table."""
    return hashlib.blake2b(content, digest_size=16).digest()


def _file_content(path: Path, key: str) -> bytes:
    try:
        return content_digest(path.read_bytes())
    except OSError as error:
        raise DataError(f"{key}: cannot read {path}: {error.strerror}") from error


def _decode(data: bytes | Path, key: str) -> Image.Image:
    from clipbench.data.images import decode

    return decode(data, key)


def _refuse(key: str) -> NoReturn:
    raise DataError(f"{key}: the dataset has no image here")


def sha256_of(*paths: Path | None) -> str:
    """Names and SHA-256 of files, as a fingerprint; None stands for no file.

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
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()


def numbered_lines(path: Path, *, keep_empty: bool = False) -> Iterator[tuple[int, str]]:
    r"""Lines of a UTF-8 text file with their numbers from 1, without line ends, and without empty ones.

    Only ``\n`` ends a line: captions hold other characters that ``str.splitlines`` takes for line ends.

    Raises:
        DataError: The file cannot be read, or is not UTF-8.
    """
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, 1):
                text = line.rstrip("\r\n")
                if text or keep_empty:
                    yield number, text
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, after line {number}: not UTF-8 text: {error.reason}") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file, all of it at once: JSON has no rows to stop at.

    Raises:
        DataError: The file cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON, or cut off: {error}") from error


def first_folder(root: Path, names: tuple[str, ...]) -> Path:
    """The first of the folders that exists, else the first: that is where missing files belong."""
    return next((root / name for name in names if (root / name).is_dir()), root / names[0])
