"""Which photograph an annotator gets next."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection

from clipbench.annotate.photographs import original
from clipbench.annotate.reading import FREE_PHOTOGRAPHS, read_pair
from clipbench.annotate.records import DONE, SKIPPED, STEPS, Origin, Pair
from clipbench.annotate.store import Store
from clipbench.errors import DataError


def take_next(store: Store, annotator: str, holder: str, origin: Origin, busy: Collection[int] = ()) -> Pair | None:
    """An unfinished pair of this annotator that is in no other hands, or a new photograph; None if there is none left.

    A photograph whose file cannot be read is passed over, and the set remembers why.

    Args:
        store: The set.
        annotator: The annotator.
        holder: In whose hands the pair is then: ``Store.name``, a slash, and a name within this store.
        origin: Of a new pair.
        busy: Pairs that are passed over.
    """
    while True:
        with store.transaction() as db:
            number = _unfinished(db, store, annotator, holder, busy) or _hand_out(db, annotator, holder, origin)
        if number is None:
            return None
        try:
            return _with_image(store, number)
        except DataError as error:
            with store.transaction() as db:
                photograph = read_pair(db, number).photograph.id
                db.execute("UPDATE photographs SET problem = ? WHERE id = ?", (str(error), photograph))
                db.execute("DELETE FROM pairs WHERE id = ?", (number,))


def annotators_of(db: sqlite3.Connection, origin: Origin) -> int:
    """How many annotators get each photograph; one proposal is enough."""
    if origin == "proposed":
        return 1
    row = db.execute("SELECT value FROM meta WHERE key = 'annotators_per_photograph'").fetchone()
    return int(json.loads(row["value"]))


def _unfinished(db: sqlite3.Connection, store: Store, annotator: str, holder: str, busy: Collection[int]) -> int | None:
    query = "SELECT id, holder FROM pairs WHERE annotator = ? AND step NOT IN (?, ?) ORDER BY id"
    rows = db.execute(query, (annotator, DONE, SKIPPED)).fetchall()
    free = [row for row in rows if row["id"] not in busy]
    for row in sorted(free, key=lambda row: row["holder"] != holder):
        if row["holder"] == holder or not store.is_open(row["holder"].partition("/")[0]):
            db.execute("UPDATE pairs SET holder = ? WHERE id = ?", (holder, row["id"]))
            return int(row["id"])
    return None


def _hand_out(db: sqlite3.Connection, annotator: str, holder: str, origin: Origin) -> int | None:
    given = {"annotator": annotator, "annotators": annotators_of(db, origin)}
    free = db.execute(f"{FREE_PHOTOGRAPHS} ORDER BY place LIMIT 1", given).fetchone()
    if free is None:
        return None
    row = (free["id"], annotator, holder, origin, STEPS[0], time.time())
    columns = "photograph, annotator, holder, origin, step, started"
    return db.execute(f"INSERT INTO pairs ({columns}) VALUES (?, ?, ?, ?, ?, ?)", row).lastrowid  # noqa: S608


def _with_image(store: Store, number: int) -> Pair:
    """The pair with its photograph's file in the set.

    Raises:
        DataError: The file cannot be read.
    """
    with store.transaction() as db:
        there = read_pair(db, number)
    if there.image:
        return there
    ref = store.refs.get(there.photograph.id)
    if ref is None:
        raise DataError(f"photograph {there.photograph.id}: the data no longer has it")
    name = store.put_file(*original(ref))
    with store.transaction() as db:
        db.execute("UPDATE pairs SET image = ? WHERE id = ?", (name, number))
        return read_pair(db, number)
