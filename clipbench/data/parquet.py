"""Parquet files, local or on the hub, downloaded or streamed with the ``datasets`` library."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from clipbench.data import arrow as arrow_rows
from clipbench.data.columns import Columns, choose_columns
from clipbench.data.dataset import Dataset, HubTable, Provenance
from clipbench.data.hub_errors import explained
from clipbench.data.records import Record, RecordSource


@dataclass(frozen=True, slots=True)
class Files:
    """Parquet files that make up one table.

    Attributes:
        paths: Local paths or ``hf://`` addresses, in row order.
        folder: Base of relative image paths in their cells.
        name: The table's name in messages.
    """

    paths: tuple[str, ...]
    folder: Path
    name: str

    def load(self, *, streaming: bool, **options: Any) -> Any:
        """A ``datasets.Dataset`` (memory-mapped, cached in HF_HOME) or ``IterableDataset``.

        The schema is read from the files and not from a repository's README: the two differ in old
        repositories, and ``datasets`` cannot combine a README's schema with a selection of columns.
        """
        import datasets

        with quiet():
            return datasets.load_dataset(
                "parquet", data_files={"rows": list(self.paths)}, split="rows", streaming=streaming, **options
            )


def open_parquet(
    files: Files,
    dataset: Dataset,
    provenance: Provenance,
    *,
    streaming: bool,
    declared: HubTable | None,
) -> RecordSource:
    """Open parquet files as a source.

    Only the required columns are decoded (not InpaintCOCO's masks). If streaming, only they are fetched, and row
    groups without a matching row are skipped.

    Raises:
        DataError: A file or column cannot be read.
    """
    import pyarrow.parquet as pq

    with explained(dataset, files.name):
        if streaming:
            features = files.load(streaming=True).features
            columns = choose_columns(list(features), declared=declared, where=files.name)
            # Only text: Arrow fails if a column is compared with a value of another type.
            pushable = {name for name in columns.fields if _is_text(features[name])}
            read = partial(_streamed, files, dataset, columns, pushable)
            return RecordSource(provenance.with_problem(columns.problem), read, columns.fields, columns.constants)
        # Not with a stream, which would import torch and take several seconds.
        names = pq.read_schema(files.paths[0]).names
        columns = choose_columns(names, declared=declared, where=files.name)
        table = files.load(streaming=False, columns=list(columns.all))
    return open_table(table, columns, files, dataset, provenance)


def open_table(
    table: Any,
    columns: Columns,
    files: Files,
    dataset: Dataset,
    provenance: Provenance,
    *,
    class_names: Sequence[str] = (),
    templates: Sequence[str] = (),
) -> RecordSource:
    """Open a ``datasets.Dataset`` on disk as a source."""
    states = arrow_rows.unknown_states(table, columns)

    def read(where: Mapping[str, object]) -> Iterator[Record]:
        with explained(dataset, files.name):
            yield from arrow_rows.scan(table, columns, states, folder=files.folder, name=files.name)

    names = class_names or getattr(table.features.get(columns.label), "names", None) or ()
    provenance = provenance.with_problem(columns.problem)
    return RecordSource(provenance, read, columns.fields, columns.constants, class_names=names, templates=templates)


def _streamed(
    files: Files, dataset: Dataset, columns: Columns, pushable: set[str], where: Mapping[str, object]
) -> Iterator[Record]:
    with explained(dataset, files.name):
        pushed = {name: value for name, value in where.items() if name in pushable and isinstance(value, str)}
        if not pushed:
            table = files.load(streaming=True, columns=list(columns.all))
            yield from arrow_rows.stream(table, columns, count(), folder=files.folder, name=files.name)
            return
        # A filtered stream has no row numbers, so they come from a scan of the fields.
        numbers = _matching_rows(files, pushed)
        table = files.load(streaming=True, columns=list(columns.all), filters=_equal(pushed))
        yield from arrow_rows.stream(table, columns, numbers, folder=files.folder, name=files.name)


def _equal(values: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """A filter in Arrow's notation."""
    return [(name, "==", value) for name, value in values.items()]


def _is_text(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string")


def _matching_rows(files: Files, where: Mapping[str, object]) -> Iterator[int]:
    table = files.load(streaming=True, columns=list(where))
    for row, fields in enumerate(arrow_rows.texts(table, Columns(fields=tuple(where)))):
        if all(fields[name] == value for name, value in where.items()):
            yield row


@contextmanager
def quiet() -> Iterator[None]:
    """Disable progress bars if there is no terminal: ``datasets`` would write them into log files."""
    import datasets

    if sys.stderr.isatty() or not datasets.is_progress_bar_enabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()
