"""A mining from start to end; an unfinished one is resumed piece by piece."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from clipbench.errors import ConfigError, DataError, ResultError
from clipbench.mining.cluster import mine_on_ray
from clipbench.mining.options import MiningOptions
from clipbench.mining.pieces import Piece, cut
from clipbench.mining.processes import mine_here
from clipbench.mining.shards import find_shards
from clipbench.mining.statistics import KeywordCounts, keyword_statistics
from clipbench.mining.work import RECORDS, output_suffix
from clipbench.utils.files import atomic_write, lock, remove_parts
from clipbench.utils.urls import without_secrets

_IDENTITY: Final = "mining.json"
_STATISTICS: Final = "statistics.json"


def mine(
    options: MiningOptions,
    on_progress: Callable[[str, int, int | None], None] = lambda stage, done, total: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Mine captions; pieces of shards that are already done in the folder are kept.

    Args:
        options: What is mined.
        on_progress: Called with the stage, the pieces done, and the pieces in all.
        on_note: Called with messages for the user.

    Returns:
        What ``statistics.json`` holds, see ``clipbench.mining.statistics.keyword_statistics``.

    Raises:
        ConfigError: An option is invalid, or the folder holds another mining.
        DataError: A shard cannot be read, or no caption holds a keyword.
        ResultError: Something cannot be written, or the cluster was lost; what is done is kept.
    """
    pieces = cut(find_shards(options.captions))
    for piece in pieces:
        output_suffix(piece, options)
    with _held(options.output_path):
        _check_identity(options, pieces)
        records = {piece: _record(options.output_path, piece) for piece in pieces}
        done = [record for record in records.values() if record is not None]
        if done:
            on_note(f"{len(done):,} of {len(pieces):,} pieces are done already")
        todo = [piece for piece, record in records.items() if record is None]
        on_progress("pieces", len(done), len(pieces))
        for record in (mine_on_ray if options.ray else mine_here)(todo, options):
            done.append(record)
            on_progress("pieces", len(done), len(pieces))
        counts = KeywordCounts()
        for record in done:
            counts.add(record)
        for problem in sorted(record["problem"] for record in done if record.get("problem")):
            on_note(f"warning: {problem}")
        if not counts.keywords:
            raise DataError(f"no caption of {counts.captions:,} contains a keyword of {options.concept}")
        statistics = keyword_statistics(counts, options.loaded_concept())
        atomic_write(options.output_path / _STATISTICS, json.dumps(statistics, indent=1, ensure_ascii=False) + "\n")
    return statistics


def _record(folder: Path, piece: Piece) -> dict[str, Any] | None:
    """The record of a piece that is done, its captions still there."""
    path = folder / RECORDS / f"{piece.stem}.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return record if not record["file"] or (folder / record["file"]).is_file() else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        raise ResultError(f"{path}: not a record of mining: remove it to mine that piece again") from None


def _check_identity(options: MiningOptions, pieces: Sequence[Piece]) -> None:
    path = options.output_path / _IDENTITY
    identity = {**options.identity(), "pieces": [[without_secrets(piece.shard), *piece.groups] for piece in pieces]}
    if not path.exists() or not any((options.output_path / RECORDS).glob("*.json")):
        atomic_write(path, json.dumps(identity, indent=1, ensure_ascii=False) + "\n")
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name in identity if there.get(name) != json.loads(json.dumps(identity[name]))]
    except (OSError, ValueError, AttributeError):
        raise ResultError(f"{path}: not a record of mining: give another output_path") from None
    if other:
        raise ConfigError(
            f"{options.output_path} holds another mining ({', '.join(other)} differ): give another output_path"
        )


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep the folder for one mining at a time."""

    def busy() -> None:
        raise ConfigError(f"{folder}: another process is mining into it")

    try:
        (folder / RECORDS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"{folder}: cannot be written: {error.strerror}") from None
    with lock(folder / ".lock", busy):
        remove_parts(folder / RECORDS)
        yield
