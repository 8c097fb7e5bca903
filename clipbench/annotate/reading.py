"""Reads pairs and progress from a set's database."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from typing import Final

from clipbench.annotate.records import DONE, SKIPPED, Candidate, Pair, Photograph, Progress, Review
from clipbench.errors import ConfigError

# A proposal that came to nothing does not take the photograph away from people.
FREE_PHOTOGRAPHS: Final = """
SELECT id FROM photographs AS photograph WHERE problem = ''
AND NOT EXISTS (SELECT 1 FROM pairs WHERE photograph = photograph.id AND annotator = :annotator)
AND (
  SELECT count(*) FROM pairs
  WHERE photograph = photograph.id AND NOT (origin = 'proposed' AND step = 'skipped')
) < :annotators
"""


# The others, found from the pairs: a set may have a hundred thousand photographs, and few of them are taken.
_TAKEN: Final = """
SELECT photograph FROM pairs JOIN photographs ON photographs.id = photograph WHERE problem = '' GROUP BY photograph
HAVING sum(annotator = :annotator) > 0 OR sum(NOT (origin = 'proposed' AND step = 'skipped')) >= :annotators
"""
# A review is of what the reviewer saw: once the pair is changed, it no longer counts.
_STILL_VALID: Final = "reviews.chosen = pairs.chosen AND reviews.new_caption = pairs.new_caption"
_UNREVIEWED: Final = (
    f"origin = 'proposed' AND NOT EXISTS (SELECT 1 FROM reviews WHERE pair = pairs.id AND {_STILL_VALID})"  # noqa: S608
)


def read_pair(db: sqlite3.Connection, pair: int) -> Pair:
    """One pair.

    Raises:
        ConfigError: There is none.
    """
    pairs = read_pairs(db, pair=pair)
    if not pairs:
        raise ConfigError(f"pair {pair}: there is none of this number")
    return pairs[0]


def read_pairs(db: sqlite3.Connection, *, pair: int | None = None, annotator: str | None = None) -> list[Pair]:
    """Pairs, oldest first: all, one, or an annotator's."""
    wanted = "(:pair IS NULL OR pairs.id = :pair) AND (:annotator IS NULL OR annotator = :annotator)"
    given = {"pair": pair, "annotator": annotator}
    candidates: dict[int, list[Candidate]] = defaultdict(list)
    reviews: dict[int, list[Review]] = defaultdict(list)
    query = f"SELECT candidates.* FROM candidates JOIN pairs ON pairs.id = pair WHERE {wanted} ORDER BY candidates.id"  # noqa: S608
    for row in db.execute(query, given):
        candidates[row["pair"]].append(_candidate(row))
    query = f"""
        SELECT reviews.* FROM reviews JOIN pairs ON pairs.id = pair
        WHERE {wanted} AND {_STILL_VALID} ORDER BY time
    """  # noqa: S608
    for row in db.execute(query, given):
        reviews[row["pair"]].append(Review(row["reviewer"], row["decision"], row["caption"]))
    query = f"""
        SELECT pairs.*, captions, details FROM pairs JOIN photographs ON photographs.id = photograph
        WHERE {wanted} ORDER BY pairs.id
    """  # noqa: S608
    return [_pair(row, tuple(candidates[row["id"]]), tuple(reviews[row["id"]])) for row in db.execute(query, given)]


def read_progress(db: sqlite3.Connection, annotator: str, annotators: int) -> Progress:
    """How far a set is, seen by one annotator."""

    def count(query: str, **given: object) -> int:
        return int(db.execute(f"SELECT count(*) FROM {query}", given).fetchone()[0])  # noqa: S608

    photographs = count("photographs WHERE problem = ''")
    return Progress(
        photographs=photographs,
        left=photographs - count(f"({_TAKEN})", annotator=annotator, annotators=annotators),
        done=count("pairs WHERE step = :step", step=DONE),
        mine=count("pairs WHERE step = :step AND annotator = :annotator", step=DONE, annotator=annotator),
        skipped=count("pairs WHERE step = :step AND origin = 'person'", step=SKIPPED),
        unreviewed=count(f"pairs WHERE step = :step AND {_UNREVIEWED}", step=DONE),
    )


def _candidate(row: sqlite3.Row) -> Candidate:
    return Candidate(
        row["id"], row["image"], row["mask"], row["prompt"], row["keyword"], row["replacement"], row["seed"],
        json.loads(row["details"]), tuple(json.loads(row["notes"])), row["seconds"],
    )  # fmt: skip


def _pair(row: sqlite3.Row, candidates: tuple[Candidate, ...], reviews: tuple[Review, ...]) -> Pair:
    photograph = Photograph(row["photograph"], tuple(json.loads(row["captions"])), json.loads(row["details"]))
    mask_prompts, prompts = json.loads(row["mask_prompts"]), json.loads(row["prompts"])
    return Pair(
        id=row["id"],
        photograph=photograph,
        annotator=row["annotator"],
        origin=row["origin"],
        step=row["step"],
        image=row["image"],
        caption=row["caption"],
        mask_prompt=mask_prompts[-1] if mask_prompts else "",
        mask_prompts=tuple(mask_prompts),
        mask=row["mask"],
        mask_details=json.loads(row["mask_details"]),
        prompt=prompts[-1] if prompts else "",
        prompts=tuple(prompts),
        keyword=row["keyword"],
        replacement=row["replacement"],
        candidates=candidates,
        chosen=row["chosen"],
        rating=row["rating"],
        new_caption=row["new_caption"],
        reviews=reviews,
        seconds=None if row["finished"] is None else row["finished"] - row["started"],
    )
