"""Tables of captions with their hard negatives, as `finetune`, NegCLIP and open_clip read them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clipbench.errors import ConfigError, ResultError

SUFFIXES: Final = (".parquet", ".tsv", ".csv", ".jsonl")


@dataclass(frozen=True, slots=True)
class NegativesTable:
    """Columns named as open_clip and NegCLIP name theirs.

    Attributes:
        title: Captions.
        neg_caption: Each caption's hard negatives.
        filepath: Each caption's image; None if there are no images.
        neg_image: Numbers of the rows, from 0, whose images are hard negatives; None if there are none.
    """

    title: Sequence[str]
    neg_caption: Sequence[Sequence[str]]
    filepath: Sequence[str] | None = None
    neg_image: Sequence[Sequence[int]] | None = None

    def write(self, path: Path) -> None:
        """Write parquet, TSV, CSV or JSON Lines, by suffix; in TSV and CSV lists are in Python's notation.

        Raises:
            ConfigError: The suffix is another one.
            ResultError: It cannot be written.
        """
        check_table(path)
        columns: dict[str, Sequence[Any]] = {
            name: values
            for name in ("filepath", "title", "neg_caption", "neg_image")
            if (values := getattr(self, name)) is not None
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _WRITERS[path.suffix.lower()](path, columns)
        except OSError as error:
            raise ResultError(f"cannot write {path}: {error.strerror}") from error


def check_table(path: Path) -> None:
    """Refuse a file name whose suffix is no table's.

    Raises:
        ConfigError: It has another suffix.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"output_path {path}: give a file that ends in {', '.join(SUFFIXES)}")


def _write_parquet(path: Path, columns: dict[str, Sequence[Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"neg_caption": pa.list_(pa.string()), "neg_image": pa.list_(pa.int64())}
    table = pa.table({name: pa.array(values, types.get(name, pa.string())) for name, values in columns.items()})
    pq.write_table(table, path.absolute())  # pyarrow takes a relative a:b for an address


def _write_text(path: Path, columns: dict[str, Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([cell if isinstance(cell, str) else repr(list(cell)) for cell in row])


def _write_lines(path: Path, columns: dict[str, Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in zip(*columns.values(), strict=True):
            file.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n")


_WRITERS: Final = {".parquet": _write_parquet, ".tsv": _write_text, ".csv": _write_text, ".jsonl": _write_lines}
