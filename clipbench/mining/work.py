"""The mining of one piece, on whichever process or machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clipbench.errors import ConfigError
from clipbench.mining.captions import CaptionMiner
from clipbench.mining.options import MiningOptions
from clipbench.mining.output import write_parquet, write_tsv
from clipbench.mining.pieces import Piece, suffix
from clipbench.mining.tables import DELIMITED, delimited_batches, parquet_batches
from clipbench.mining.tars import write_tar
from clipbench.utils.files import atomic_directory
from clipbench.utils.urls import without_secrets

if TYPE_CHECKING:
    import pyarrow as pa

RECORDS: Final = "pieces"
"""The folder of the records of finished pieces."""


def mine_piece(piece: Piece, options: MiningOptions) -> dict[str, Any]:
    """Mine one piece: write its captions, then the record that it is done.

    Returns:
        The record: ``file`` (empty without captions), ``problem`` (what is wrong with the shard) and the counts of
        ``KeywordCounts``.

    Raises:
        DataError: The shard cannot be read.
        ConfigError: The shard cannot be written in this format.
        ResultError: The output cannot be written.
    """
    miner = CaptionMiner(options.loaded_concept(), options.negatives, options.seed)
    folder, name = options.output_path, f"mined-{piece.stem}.{output_suffix(piece, options)}"
    with atomic_directory(folder / RECORDS / piece.stem, lambda new, _: _put_in_place(new, folder)) as part:
        problem = _write(part / name, piece, options, miner)
        written = name if (part / name).exists() else ""
        record = {"file": written, "problem": problem, **miner.counts.to_dict()}
        (part / f"{piece.stem}.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


def output_suffix(piece: Piece, options: MiningOptions) -> str:
    """The suffix of a piece's output.

    Raises:
        ConfigError: Its shard cannot be written in the chosen format.
    """
    tars = piece.kind == "tar"
    chosen = options.output_format
    if chosen == "auto":
        chosen = "webdataset" if tars else "parquet"
    if tars != (chosen == "webdataset"):
        what = "a tar, which is written as webdataset" if tars else "a table, which is written as parquet or tsv"
        raise ConfigError(f"output_format {chosen}: {piece.shard} is {what}")
    return "tar" if tars else chosen


def _write(path: Path, piece: Piece, options: MiningOptions, miner: CaptionMiner) -> str:
    """Write a piece's captions, if there are any; returns what is wrong with the shard, or nothing."""
    if path.suffix == ".tar":
        return write_tar(path, piece.shard, miner, options.caption_column)
    write = write_tsv if path.suffix == ".tsv" else write_parquet
    write(path, _batches(piece), miner, options.caption_column, without_secrets(piece.shard))
    return ""


def _batches(piece: Piece) -> Iterator[pa.RecordBatch]:
    if piece.kind == "parquet":
        return parquet_batches(piece.shard, range(*piece.groups))
    return delimited_batches(piece.shard, DELIMITED[suffix(piece.shard)])


def _put_in_place(new: Path, folder: Path) -> None:
    """Move the captions, and only then the record."""
    for file in sorted(new.iterdir(), key=lambda file: file.suffix == ".json"):
        os.replace(file, folder / RECORDS / file.name if file.suffix == ".json" else folder / file.name)
