"""What raw layouts of benchmarks share: annotations as JSON, whose entries name image files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from clipbench.data.dataset import Provenance
from clipbench.data.image_files import ImageFiles
from clipbench.data.records import Record, RecordSource, sha256_of
from clipbench.data.text_files import read_json
from clipbench.errors import DataError
from clipbench.types import ImageRef


@dataclass(frozen=True, slots=True)
class Annotation:
    """One row of a benchmark.

    Attributes:
        id: As in ``Row``.
        images: Paths of its image files, relative to the folder of images.
        captions: As in ``Row``.
        false_captions: As in ``Row``.
        fields: As in ``Row``.
    """

    id: str
    images: tuple[str, ...]
    captions: tuple[str, ...]
    false_captions: tuple[str, ...] = ()
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """An object of a JSON file, and its position for messages.

    Attributes:
        key: Its key, or its place in a list.
        values: Its content.
        where: ``FILE, entry KEY``.
    """

    key: str
    values: Mapping[str, Any]
    where: str

    def text(self, name: str) -> str:
        """The text under a name.

        Raises:
            DataError: There is none.
        """
        value = self.values.get(name)
        if isinstance(value, str):
            return value
        if name not in self.values:
            raise DataError(f"{self.where}: no {name!r} among {', '.join(map(str, self.values)) or 'nothing'}")
        raise DataError(f"{self.where}: {name!r} is not a text but {str(value)[:60]!r}")

    def texts(self, name: str) -> tuple[str, ...]:
        """The list of texts under a name.

        Raises:
            DataError: There is none.
        """
        value = self.values.get(name)
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise DataError(f"{self.where}: {name!r} is not a list of texts but {str(value)[:60]!r}")


def entries(path: Path) -> Iterator[Entry]:
    """The objects of a JSON file that holds a list of them, or an object of them.

    Raises:
        DataError: The file cannot be read, or holds something else.
    """
    content = read_json(path)
    if not isinstance(content, (dict, list)):
        raise DataError(f"{path}: expected a list or an object of entries, found {str(content)[:60]!r}")
    pairs: Iterable[tuple[object, object]] = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in pairs:
        if not isinstance(value, dict):
            raise DataError(f"{path}, entry {key}: expected an object, found {str(value)[:60]!r}")
        yield Entry(str(key), value, f"{path}, entry {key}")


def open_annotations(
    layout: str,
    location: str,
    files: Mapping[str, Path],
    read: Callable[[str, Path], Iterable[Annotation]],
    images: Path,
    *,
    part_field: str = "part",
    fields: tuple[str, ...] = (),
    refer: Callable[[ImageFiles, Annotation], tuple[ImageRef, ...]] | None = None,
) -> RecordSource:
    """Open a benchmark's annotations; a pass over one part reads the file of that part only.

    Args:
        layout: The layout's name.
        location: As the user gave it.
        files: Part to the file that holds its rows.
        read: Reads the rows of a part and its file.
        images: The folder of images.
        part_field: The field that holds the part.
        fields: Further fields that rows can be filtered by.
        refer: From a row to its images, where they are not its files as they are.
    """
    photos = ImageFiles(images, empty_is_missing=True)
    details = {"images": str(images), "parts": ", ".join(files)}
    provenance = Provenance(layout, location, None, sha256_of(*dict.fromkeys(files.values())), details)
    records = partial(_records, location, files, read, photos, part_field, refer or _plain)
    return RecordSource(provenance, records, (part_field, *fields))


def _records(
    location: str,
    files: Mapping[str, Path],
    read: Callable[[str, Path], Iterable[Annotation]],
    photos: ImageFiles,
    part_field: str,
    refer: Callable[[ImageFiles, Annotation], tuple[ImageRef, ...]],
    where: Mapping[str, object],
) -> Iterator[Record]:
    wanted = where.get(part_field)
    if wanted is not None and wanted not in files:
        raise DataError(f"{location}: nothing here is the part {wanted}; the parts here are: {', '.join(files)}")
    for part, path in files.items():
        if wanted in (None, part):
            for row in read(part, path):
                fields = {part_field: part, **row.fields}
                yield Record(row.id, row.captions, partial(refer, photos, row), fields, row.false_captions)


def _plain(photos: ImageFiles, row: Annotation) -> tuple[ImageRef, ...]:
    return tuple(map(photos.ref, row.images))
