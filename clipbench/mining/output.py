"""Files of mined captions: parquet, TSV as open_clip and NegCLIP read it, WebDataset tars."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clipbench.errors import DataError
from clipbench.mining.captions import NEW_COLUMNS, CaptionMiner
from clipbench.mining.tables import caption_column

if TYPE_CHECKING:
    import pyarrow as pa

_IMAGE_NAMES: Final = ("filepath", "file_name", "filename", "image_path", "path", "image", "url")
_TSV_COLUMNS: Final = ("filepath", "title", "neg_caption")


def write_parquet(
    path: Path, batches: Iterable[pa.RecordBatch], miner: CaptionMiner, column: str | None, where: str
) -> None:
    """Write the rows with a keyword, all their columns and two more: ``keyword``, and ``neg_caption`` (a list).

    Raises:
        DataError: A column is missing, or already there.
    """
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None
    try:
        for batch, _ in _mined(batches, miner, column, where):
            # Absolute: pyarrow takes a relative a:b for an address.
            writer = writer or pq.ParquetWriter(path.absolute(), batch.schema)
            writer.write_batch(batch)
    finally:
        if writer is not None:
            writer.close()


def write_tsv(
    path: Path, batches: Iterable[pa.RecordBatch], miner: CaptionMiner, column: str | None, where: str
) -> None:
    """Write ``filepath``, ``title`` and ``neg_caption``, a Python list in text, as NegCLIP's training reads it.

    Raises:
        DataError: A column is missing, or there is none of image files or URLs.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(_TSV_COLUMNS)
        for batch, caption in _mined(batches, miner, column, where):
            images = batch.column(_image_column(batch.schema.names, where)).to_pylist()
            rows = zip(images, batch.column(caption).to_pylist(), batch.column("neg_caption").to_pylist(), strict=True)
            writer.writerows((image, title, repr(negatives)) for image, title, negatives in rows)


def _mined(
    batches: Iterable[pa.RecordBatch], miner: CaptionMiner, column: str | None, where: str
) -> Iterator[tuple[pa.RecordBatch, str]]:
    """Batches of the rows with a keyword, with the two new columns; and the name of the captions' column."""
    import pyarrow as pa

    caption: str | None = None
    for batch in batches:
        if caption is None:
            caption = caption_column(batch.schema.names, column, where)
            if taken := [name for name in NEW_COLUMNS if name in batch.schema.names]:
                raise DataError(f"{where}: it has a column {taken[0]} already: rename it")
        captions = batch.column(caption)
        if not pa.types.is_string(captions.type) and not pa.types.is_large_string(captions.type):
            raise DataError(
                f"{where}: column {caption} holds {captions.type}, not text: name another in caption_column"
            )
        rows, keywords, negatives = miner.mine_column(captions)
        kept = batch.take(pa.array(rows, pa.int64()))
        kept = kept.append_column("keyword", pa.array(keywords, pa.string()))
        yield kept.append_column("neg_caption", pa.array(negatives, pa.list_(pa.string()))), caption


def _image_column(names: Sequence[str], where: str) -> str:
    lower = {name.lower(): name for name in reversed(names)}
    found = next((lower[name] for name in _IMAGE_NAMES if name in lower), None)
    if found is None:
        raise DataError(f"{where}: tsv needs a column of image files or URLs: one of {', '.join(_IMAGE_NAMES)}")
    return found
