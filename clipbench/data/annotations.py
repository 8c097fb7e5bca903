"""Shared parts of benchmarks' raw layouts: JSON annotations whose entries name image files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
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
    """An object in a JSON file, and its position for messages.

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
            DataError: The value is missing or not text.
        """
        value = self.values.get(name)
        if isinstance(value, str):
            return value
        if name not in self.values:
            raise DataError(f"{self.where}: no {name!r} among {', '.join(map(str, self.values)) or 'nothing'}")
        raise DataError(f"{self.where}: {name!r} is not a text but {str(value)[:60]!r}")

    def texts(self, name: str) -> tuple[str, ...]:
        """The texts under a name, in a list or alone.

        Raises:
            DataError: The value is missing or not text.
        """
        value = self.values.get(name)
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return tuple(value)
        return (self.text(name),)


def entries(path: Path, *names: str) -> Iterator[Entry]:
    """The objects of a JSON file that holds a list of them, or an object of them.

    Args:
        path: The file.
        *names: Names of the values if an entry is a list; without names, it must be an object.

    Raises:
        DataError: The file cannot be read, or holds something else.
    """
    content = read_json(path)
    if not isinstance(content, (dict, list)):
        raise DataError(f"{path}: expected a list or an object of entries, found {str(content)[:60]!r}")
    pairs: Iterable[tuple[object, object]] = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in pairs:
        where = f"{path}, entry {key}"
        if isinstance(value, list) and len(value) == len(names) > 0:
            value = dict(zip(names, value, strict=True))
        if not isinstance(value, dict):
            wanted = f"a list of {', '.join(names)}" if names else "an object"
            raise DataError(f"{where}: expected {wanted}, found {str(value)[:60]!r}")
        yield Entry(str(key), value, where)


class Photographs(ImageFiles):
    """Image files in a folder or its subfolders, for benchmarks that draw on several collections.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, empty_is_missing=True)

    def ref(self, name: str) -> ImageRef:
        """A reference to the file ``name``, in the folder or else in the first subfolder, up to three levels down."""
        if not self.has(name):
            name = next((found for folder in self._folders if self.has(found := f"{folder}/{name}")), name)
        return super().ref(name)

    @cached_property
    def _folders(self) -> list[str]:
        found: list[str] = []
        last = [self.root] if self.root.is_dir() else []
        for _ in range(3):
            last = [Path(entry) for folder in last for entry in os.scandir(folder) if entry.is_dir()]
            found += sorted(folder.relative_to(self.root).as_posix() for folder in last)
        return found


def open_annotations(
    layout: str,
    location: str,
    files: Mapping[str, Path | Sequence[Path]],
    read: Callable[[str, Path], Iterable[Annotation]],
    images: Path,
    *,
    part_field: str = "part",
    fields: tuple[str, ...] = (),
    refer: Callable[[ImageFiles, Annotation], tuple[ImageRef, ...]] | None = None,
    gap: str = "",
) -> RecordSource:
    """Open a benchmark's annotations; a pass over one part only reads the files of that part.

    Args:
        layout: The layout's name.
        location: As the user gave it.
        files: Part to the file or files that hold its rows.
        read: Reads the rows of a part from a file.
        images: The folder of images.
        part_field: The field that holds the part.
        fields: Further fields that rows can be filtered by.
        refer: Maps a row to its images, if they are not simply its files.
        gap: What the files lack compared with the published ones, if a task's number of samples does not reveal it.
    """
    paths = {part: (found,) if isinstance(found, Path) else tuple(found) for part, found in files.items()}
    photos = Photographs(images)
    details = {"images": str(images), "parts": ", ".join(files), **({"gap": gap} if gap else {})}
    provenance = Provenance(
        layout, location, None, sha256_of(*(path for found in paths.values() for path in found)), details
    )
    records = partial(_records, location, paths, read, photos, part_field, refer or _plain)
    return RecordSource(provenance, records, (part_field, *fields))


def _records(
    location: str,
    files: Mapping[str, Sequence[Path]],
    read: Callable[[str, Path], Iterable[Annotation]],
    photos: ImageFiles,
    part_field: str,
    refer: Callable[[ImageFiles, Annotation], tuple[ImageRef, ...]],
    where: Mapping[str, object],
) -> Iterator[Record]:
    wanted = where.get(part_field)
    if wanted is not None and wanted not in files:
        raise DataError(f"{location}: nothing here is the part {wanted}; the parts here are: {', '.join(files)}")
    chosen = [(part, path) for part, paths in files.items() if wanted in (None, part) for path in paths]
    for part, path in chosen:
        for row in read(part, path):
            fields = {part_field: part, **row.fields}
            yield Record(row.id, row.captions, partial(refer, photos, row), fields, row.false_captions)


def _plain(photos: ImageFiles, row: Annotation) -> tuple[ImageRef, ...]:
    return tuple(map(photos.ref, row.images))
