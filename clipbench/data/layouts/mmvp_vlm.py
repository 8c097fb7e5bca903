"""MMVP-VLM as published: ``Questions.csv`` and ``MLLM_VLM Images/Camera Perspective/1.jpg``; two lines are a pair.

Source: Tong et al. 2024, https://huggingface.co/datasets/MMVP/MMVP_VLM.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from clipbench.data.annotations import Annotation, open_annotations
from clipbench.data.records import RecordSource
from clipbench.data.text_files import first_folder
from clipbench.errors import DataError
from clipbench.utils.files import open_regular_text

EXPECTS = "Questions.csv + MLLM_VLM Images/PATTERN/1.jpg …"


def recognize(path: Path) -> Path | None:
    """The questions, for a folder that holds them, or for the file itself."""
    file = path if path.is_file() else path / "Questions.csv"
    return file if file.name == "Questions.csv" and file.is_file() else None


def open_layout(file: Path, location: str, images: Path | None = None) -> RecordSource:
    """Open the pairs; the field ``pattern`` holds the visual pattern in which they differ."""
    photos = images or first_folder(file.parent, ("MLLM_VLM Images", "images", "."))
    return open_annotations("mmvp_vlm", location, {"test": file}, _read, photos, fields=("pattern",))


def _read(part: str, path: Path) -> Iterator[Annotation]:
    lines = list(_lines(path))
    if len(lines) % 2:
        raise DataError(f"{path}: {len(lines)} statements, which are not pairs")
    for first, second in zip(lines[::2], lines[1::2], strict=True):
        files = tuple(f"{pattern}/{number}.jpg" for number, pattern, _ in (first, second))
        yield Annotation(f"{first[0]}-{second[0]}", files, (first[2], second[2]), fields={"pattern": first[1]})


def _lines(path: Path) -> Iterator[list[str]]:
    """Number, pattern and statement."""
    try:
        with open_regular_text(path, newline="") as file:
            reader = csv.reader(file, strict=True)
            next(reader, None)
            for cells in filter(None, reader):
                if len(cells) != 3:
                    raise DataError(f"{path}, line {reader.line_num}: expected number, pattern, statement: {cells}")
                yield [cell.strip() for cell in cells]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV table: {error}") from error
