"""SVO-Probes as published: ``svo_probes.csv`` with the URLs of its images, and the images that could be downloaded.

Source: Hendricks and Nematzadeh 2021, https://github.com/google-deepmind/svo_probes. Images are named by their id:
``images/123.jpg``. Many links are dead; their images are missing, and counted.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from clipbench.data.annotations import Annotation, Entry, open_annotations
from clipbench.data.records import RecordSource
from clipbench.data.text_files import first_folder
from clipbench.errors import DataError
from clipbench.utils.files import open_regular_text
from clipbench.utils.text import pluralize

EXPECTS = "svo_probes.csv + images/IMAGE_ID.jpg …"
_KINDS = ("subj_neg", "verb_neg", "obj_neg")
_ROWS = 36_841


def recognize(path: Path) -> Path | None:
    """The table, for a folder that holds it, or for the file itself."""
    file = path if path.is_file() else path / "svo_probes.csv"
    return file if file.name == "svo_probes.csv" and file.is_file() else None


def open_layout(file: Path, location: str, images: Path | None = None) -> RecordSource:
    """Open the rows; the fields ``subj_neg``, ``verb_neg`` and ``obj_neg`` say what is wrong in the false image."""
    photos = images or first_folder(file.parent, ("images", "."))
    count = sum(1 for _ in _read("", file))
    gap = "" if count == _ROWS else f"{pluralize(count, 'row')} where {_ROWS:,} are published"
    return open_annotations("svo_probes", location, {"test": file}, _read, photos, fields=_KINDS, gap=gap)


def _read(part: str, path: Path) -> Iterator[Annotation]:
    try:
        with open_regular_text(path, newline="") as file:
            reader = csv.DictReader(file, strict=True)
            for row, values in enumerate(reader):
                where = f"{path}, line {reader.line_num}"
                entry = Entry(values.get("index") or str(row), values, where)
                files = tuple(f"{entry.text(f'{side}_image_id')}.jpg" for side in ("pos", "neg"))
                kinds = {name: entry.text(name) for name in _KINDS}
                yield Annotation(entry.key, files, (entry.text("sentence"),), fields=kinds)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV table: {error}") from error
