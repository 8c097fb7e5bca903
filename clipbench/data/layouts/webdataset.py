"""WebDataset tars of labeled images, as CLIP_benchmark publishes them (``clip-benchmark/wds_*`` on the hub).

``test/0.tar`` holds ``s0.jpg`` and ``s0.cls``; ``classnames.txt`` and ``zeroshot_classification_templates.txt`` are
next to the tars or one folder up.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from clipbench.data.columns import Columns
from clipbench.data.dataset import Dataset, Provenance
from clipbench.data.parquet import Files, open_table, quiet
from clipbench.data.records import RecordSource
from clipbench.data.text_files import numbered_lines
from clipbench.errors import DataError
from clipbench.utils.files import require_regular

EXPECTS = "test/*.tar or *.tar of images with .cls files, and classnames.txt"
_IMAGES = ("jpg", "jpeg", "png", "webp")
_CLASSES, _TEMPLATES = "classnames.txt", "zeroshot_classification_templates.txt"


def recognize(path: Path) -> tuple[Path, ...] | None:
    """The tars at a path: the file itself, those of a folder, or those of its ``test`` folder."""
    if path.is_file():
        return (path,) if path.suffix == ".tar" else None
    for folder in (path / "test", path):
        if tars := sorted(folder.glob("*.tar"), key=lambda tar: (len(tar.name), tar.name)):
            return tuple(tars)
    return None


def open_layout(
    tars: tuple[Path, ...], location: str, images: Path | None = None, *, provenance: Provenance | None = None
) -> RecordSource:
    """Open tars through ``datasets``, which copies them once into its cache in ``HF_HOME``.

    ``provenance`` is given for a copy of a hub repository.

    Raises:
        DataError: A tar cannot be read, or holds no labeled images.
    """
    import datasets

    for tar in tars:
        try:
            require_regular(tar)
        except OSError as error:
            raise DataError(f"cannot read {tar}: {error.strerror}") from None
    name = tars[0].name if len(tars) == 1 else f"{tars[0].parent.name}/*.tar"
    try:
        with quiet():
            table = datasets.load_dataset("webdataset", data_files={"rows": [str(tar) for tar in tars]}, split="rows")
    except Exception as error:  # each kind of damage raises another error
        raise DataError(f"{name}: cannot be read as WebDataset tars: {' '.join(str(error).split())[:200]}") from None
    columns = [column for column in _IMAGES if column in table.column_names]
    if len(columns) != 1 or "cls" not in table.column_names:
        there = ", ".join(column for column in table.column_names if not column.startswith("__"))
        raise DataError(f"{name}: expected one image and a .cls for each key, found {there or 'nothing'}")
    labels = zip(table["__key__"], table["cls"], strict=True)
    digest = hashlib.sha256("".join(f"{key}\t{label}\n" for key, label in labels).encode())
    provenance = provenance or Provenance(
        "webdataset", location, None, f"labels:sha256={digest.hexdigest()}", {"tars": str(len(tars))}
    )
    return open_table(
        table,
        Columns(images=(columns[0],), label="cls"),
        Files((), tars[0].parent, name),
        Dataset("webdataset", None),
        provenance,
        class_names=_lines(tars[0].parent, _CLASSES),
        templates=_lines(tars[0].parent, _TEMPLATES),
    )


def _lines(folder: Path, name: str) -> list[str]:
    for place in (folder, folder.parent):
        if (place / name).is_file():
            return [line.strip() for _, line in numbered_lines(place / name) if line.strip()]
    return []
