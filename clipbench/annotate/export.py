"""A set as a benchmark: parquet in InpaintCOCO's columns, a data card, and a task."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clipbench.annotate.checks import check_outside
from clipbench.annotate.columns import features, row_of
from clipbench.annotate.reading import read_pairs
from clipbench.annotate.records import Pair
from clipbench.annotate.review import EXPORTED, final_caption, status
from clipbench.annotate.store import Store
from clipbench.annotate.suggestions import check_caption
from clipbench.errors import ClipbenchError, DataError, ResultError
from clipbench.task_types.registry import known_tasks
from clipbench.utils.files import atomic_directory, atomic_write
from clipbench.utils.text import pluralize

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET: Final = "data/test-00000-of-00001.parquet"
CARD: Final = "README.md"
TASK: Final = "task.yaml"
USAGE: Final = f"clipbench eval --model MODEL --tasks {TASK}"
"""In the card and in the task; tells them from other files of these names."""
_ROWS_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export has written.

    Attributes:
        pairs: The pairs in the parquet file, in its order.
        counts: How many pairs of each status the set has.
        broken: Pairs that are left out because they break a rule of the set, and which: one line each.
        name: The task's name.
    """

    pairs: tuple[Pair, ...]
    counts: Mapping[str, int]
    broken: tuple[str, ...]
    name: str


def export_set(
    folder: Path, *, include_unreviewed: bool = False, progress: Callable[[int, int], None] = lambda done, of: None
) -> Exported:
    """Write ``data/test-00000-of-00001.parquet``, ``README.md`` and ``task.yaml`` into a set's folder.

    Pairs that a person has made or accepted are exported, and proposals that nobody has reviewed only if asked for.

    Args:
        folder: The set's.
        include_unreviewed: Also export proposals that nobody has reviewed.
        progress: Called with pairs done, and pairs in all.

    Raises:
        ConfigError: The folder holds no set.
        DataError: There is no pair to export; says how many there are, and why not.
        ResultError: A file cannot be written.
    """
    from clipbench.annotate.card import data_card

    with Store(folder) as store:
        _refuse_foreign_files(folder)
        with store.transaction() as db:
            pairs = read_pairs(db)
        counts = Counter(str(status(pair)) for pair in pairs)
        wanted = (*EXPORTED, *(["unreviewed"] if include_unreviewed else []))
        chosen = [pair for pair in pairs if status(pair) in wanted]
        written: list[Pair] = []
        broken: list[str] = []
        rows = _rows(store, chosen, written, broken, progress)
        _write_parquet(folder, rows, lambda: _nothing(folder, counts, include_unreviewed, broken))
        meta = store.meta()
        name = f"{_slug(folder.resolve().name)}_{_slug(store.concept.name)}"
        if any(task.name == name for task in known_tasks()):  # two tasks of one name would be refused
            name += "_set"
        exported = Exported(tuple(written), dict(counts), tuple(broken), name)
        atomic_write(folder / CARD, data_card(exported, pairs, meta))
        atomic_write(folder / TASK, _task(exported, store.concept.name))
    return exported


def _rows(
    store: Store, pairs: list[Pair], written: list[Pair], broken: list[str], progress: Callable[[int, int], None]
) -> Iterator[dict[str, Any]]:
    """A row for each pair that keeps the rules; fills ``written`` and ``broken``."""
    for done, pair in enumerate(pairs, 1):
        try:
            row = _checked_row(store, pair)
        except ClipbenchError as error:
            broken.append(f"pair {pair.id} (photograph {pair.photograph.id[:60]}): {error}")
        else:
            written.append(pair)
            yield row
        progress(done, len(pairs))


def _checked_row(store: Store, pair: Pair) -> dict[str, Any]:
    """The row of a pair.

    Raises:
        ClipbenchError: It breaks a rule: pixels outside of the mask differ, nothing is changed, the caption fits both.
    """
    if pair.choice is None:
        raise DataError("no candidate is chosen")
    before, after = store.image(pair.image), store.image(pair.choice.image)
    check_outside(before, after, store.mask(pair.choice.mask))
    if before.tobytes() == after.tobytes():
        raise DataError("the picture is not changed")
    check_caption(pair.caption, final_caption(pair), pair.keyword)
    return row_of(store, store.concept.name, pair, pair.choice)


def _write_parquet(folder: Path, rows: Iterator[dict[str, Any]], if_empty: Callable[[], DataError]) -> None:
    """Write the rows, with a few in memory at a time; the file appears, or is replaced, once all are written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema: pa.Schema = features().arrow_schema  # with the metadata by which `datasets` knows images
    folder, name = (folder / PARQUET).parent, Path(PARQUET).name
    first = list(islice(rows, _ROWS_AT_ONCE))
    if not first:
        raise if_empty()
    with (
        atomic_directory(folder, _move_into) as part,
        pq.ParquetWriter(part.absolute() / name, schema) as writer,  # pyarrow takes a relative a:b for an address
    ):
        while first:
            writer.write_table(pa.Table.from_pylist(first, schema))
            first = list(islice(rows, _ROWS_AT_ONCE))


def _move_into(part: Path, folder: Path) -> None:
    """Leave alone what else is in the folder: it may hold the user's photographs."""
    folder.mkdir(exist_ok=True)
    for file in part.iterdir():
        os.replace(file, folder / file.name)


def _refuse_foreign_files(folder: Path) -> None:
    """Refuse to overwrite a card or a task that no export has written: the set may be in a folder with other things.

    Raises:
        ResultError: There is one.
    """
    for name in (CARD, TASK):
        try:
            there = (folder / name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ResultError(f"{folder / name}: cannot be read: {error.strerror}") from None
        if USAGE not in there:
            raise ResultError(f"{folder / name}: was not written by an export: move it elsewhere first")


def _nothing(folder: Path, counts: Mapping[str, int], include_unreviewed: bool, broken: list[str]) -> DataError:
    have = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    unreviewed = counts.get("unreviewed") and not include_unreviewed
    hint = "; include_unreviewed exports proposals as well" if unreviewed else ""
    first = f"; {broken[0]}" if broken else ""
    what = f"{pluralize(sum(counts.values()), 'pair')}: {have}" if have else "no pair has been begun"
    return DataError(f"{folder}: nothing to export ({what}{hint}{first})")


def _task(exported: Exported, concept: str) -> str:
    import yaml

    licenses = sorted({pair.photograph.license or "not stated" for pair in exported.pairs})
    task = {
        "name": exported.name,
        "task_type": "pairs",
        "dataset": {
            "path": PARQUET,
            "images": ["coco_image", "inpaint_image"],
            "captions": ["coco_caption", "inpaint_caption"],
        },
        "where": {"concept": concept},
        "expected_n": len(exported.pairs),
        "tags": ["annotated"],
        "license": f"Photograph by photograph, see README.md: {'; '.join(licenses)}",
    }
    return f"# {USAGE}\n" + str(yaml.safe_dump(task, sort_keys=False, allow_unicode=True, width=120))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_.")[:45] or "set"
