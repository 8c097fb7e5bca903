"""Local tables of images and captions: copies of hub repositories, parquet, CSV, JSON, folders of images."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from clipbench.data import image_folder, text_tables
from clipbench.data.columns import choose_columns
from clipbench.data.dataset import Dataset, Provenance
from clipbench.data.records import RecordSource
from clipbench.errors import DataError
from clipbench.utils.files import open_regular, read_regular
from clipbench.utils.text import pluralize

EXPECTS = (
    "a .parquet, .csv, .tsv, .jsonl or .json file",
    "a folder with *.parquet or data/*.parquet (a copy of a hub repository)",
    "a folder written by datasets' save_to_disk",
    "a folder with metadata.csv or metadata.jsonl (file_name, caption), or one other such table",
    "a folder with train/metadata.jsonl, test/metadata.jsonl …",
    "a folder of images, each with a .txt of the same name",
)
_FOOTER_END_BYTES = 8
_METADATA = (".csv", ".jsonl", ".parquet")


def open_tables(path: Path, dataset: Dataset, location: str, *, streaming: bool) -> RecordSource | None:
    """Open a local path as a table; None if it has no known format.

    Raises:
        DataError: It is a table that cannot be read.
    """
    if path.is_file():
        return _open_file(path, dataset, location, streaming=streaming)
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        return _open_saved(path, dataset, location)
    if splits := _metadata_of_splits(path):
        return _open_split_folder(path, splits, dataset, location, streaming=streaming)
    names = [file.relative_to(path).as_posix() for file in sorted(path.rglob("*.parquet"))]
    if names:
        return _open_repository(path, names, dataset, location, streaming=streaming)
    if table := _only_table(path):
        return _open_text_table(table, dataset, location)
    found = image_folder.recognize(path)
    return None if found is None else image_folder.open_folder(path, found, location)


def _open_file(path: Path, dataset: Dataset, location: str, *, streaming: bool) -> RecordSource | None:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _open_parquet(path.parent, [path.name], dataset, location, streaming=streaming)
    if suffix in text_tables.SUFFIXES:
        return _open_text_table(path, dataset, location)
    return None


def _open_text_table(path: Path, dataset: Dataset, location: str) -> RecordSource:
    folder = Path(dataset.image_folder) if dataset.image_folder else None
    return text_tables.open_text_table(path, location, declared=dataset.hub, image_folder=folder)


def _metadata_of_splits(path: Path) -> dict[str, Path]:
    """Split to its table, for one of the hub's image folders: ``train/metadata.jsonl``, possibly in ``data/``."""
    for root in (path, path / "data"):
        tables = [file for suffix in _METADATA for file in sorted(root.glob(f"*/metadata{suffix}"))]
        if tables and not any((path / f"metadata{suffix}").is_file() for suffix in _METADATA):
            return {file.parent.name: file for file in tables}
    return {}


def _open_split_folder(
    path: Path, splits: dict[str, Path], dataset: Dataset, location: str, *, streaming: bool
) -> RecordSource | None:
    """The split that the dataset names; by default the only one, or else ``test``."""
    from clipbench.data.hub_splits import known_split

    wanted = dataset.hub.split if dataset.hub and dataset.hub.split else "test"
    split = known_split(wanted, list(splits), str(path), or_only=not (dataset.hub and dataset.hub.repo))
    source = _open_file(splits[split], dataset, location, streaming=streaming)
    others = [name for name in splits if name != split]
    if source and others:
        problem = f"split {split}; not used: {', '.join(others)} (name one with NAME=PATH?split=)"
        source.provenance = source.provenance.with_problem(problem)
    return source


def _only_table(folder: Path) -> Path | None:
    """The table of a folder: ``metadata.*`` as in the hub's image folders, else the only table."""
    found = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in text_tables.SUFFIXES]
    metadata = [file for file in found if file.stem == "metadata"]
    if len(metadata) == 1:
        return metadata[0]
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise DataError(f"{folder}: several tables ({names}): name one of them as the path")
    return found[0] if found else None


def _open_repository(
    folder: Path, names: list[str], dataset: Dataset, location: str, *, streaming: bool
) -> RecordSource:
    """A copy of a hub repository: the dataset's split, or all parquet files if none belongs to a split."""
    from clipbench.data.hub_errors import explained
    from clipbench.data.hub_splits import split_files

    card: dict[str, Any] | None = None
    if (folder / "README.md").is_file():
        from huggingface_hub.repocard import metadata_load

        with explained(dataset, f"{folder / 'README.md'}"):
            card = metadata_load(folder / "README.md")
    with explained(dataset, str(folder)):
        chosen = split_files(
            names,
            card,
            config=dataset.hub.config if dataset.hub else None,
            split=dataset.hub.split if dataset.hub else "",
            where=str(folder),
            # A hub dataset needs the split it declares; of a user's dataset, a single split is used under any name.
            or_only=not (dataset.hub and dataset.hub.repo),
        )
    return _open_parquet(folder, chosen, dataset, location, streaming=streaming)


def _open_parquet(folder: Path, names: list[str], dataset: Dataset, location: str, *, streaming: bool) -> RecordSource:
    from clipbench.data.parquet import Files, open_parquet

    paths = [folder / name for name in names]
    digest = hashlib.sha256()
    for name, path in zip(names, paths, strict=True):
        digest.update(f"{name}\0{path.stat().st_size}\0".encode() + _footer(path))
    provenance = Provenance(
        "parquet", location, None, f"parquet:sha256={digest.hexdigest()}", {"files": ", ".join(names)}
    )
    files = Files(tuple(str(path.resolve()) for path in paths), _base(dataset, folder), location)
    return open_parquet(files, dataset, provenance, streaming=streaming, declared=dataset.hub)


def _base(dataset: Dataset, folder: Path) -> Path:
    """What the image paths in cells are relative to."""
    return Path(dataset.image_folder or folder).resolve()


def _footer(path: Path) -> bytes:
    """The metadata at a parquet file's end: schema, sizes, offsets and statistics of every column chunk.

    Together with the size it identifies a table without reading gigabytes of images.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _FOOTER_END_BYTES))
            end = file.read()
            if size < 12 or end[4:] != b"PAR1":
                raise DataError(
                    f"{path}: not a parquet file, or truncated ({pluralize(size, 'byte')}): download it again"
                )
            length = int.from_bytes(end[:4], "little")
            file.seek(max(0, size - _FOOTER_END_BYTES - length))
            return file.read(length)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _open_saved(folder: Path, dataset: Dataset, location: str) -> RecordSource:
    """A folder written by ``save_to_disk`` of ``datasets``: one table, or one per split."""
    import datasets

    from clipbench.data.hub_errors import explained
    from clipbench.data.hub_splits import known_split
    from clipbench.data.parquet import Files, open_table

    with explained(dataset, location):
        table = datasets.load_from_disk(str(folder))
        if isinstance(table, datasets.DatasetDict):
            wanted = dataset.hub.split if dataset.hub else ""
            split = known_split(wanted, list(map(str, table)), location, or_only=not (dataset.hub and dataset.hub.repo))
            folder, table = folder / split, table[split]
        columns = choose_columns(table.column_names, declared=dataset.hub, where=location)
        state = read_regular(folder / "state.json")
    provenance = Provenance("arrow", location, None, f"state.json:sha256={hashlib.sha256(state).hexdigest()}")
    return open_table(table, columns, Files((), _base(dataset, folder), location), dataset, provenance)
