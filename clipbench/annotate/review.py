"""The second pass: other people accept pairs, fix their captions, or reject them."""

from __future__ import annotations

import hashlib
import time
from typing import Final, Literal

from clipbench.annotate.checks import check_name, check_text
from clipbench.annotate.reading import read_pair, read_pairs
from clipbench.annotate.records import DECISIONS, DONE, Pair
from clipbench.annotate.store import Store
from clipbench.annotate.suggestions import check_caption
from clipbench.errors import ConfigError

Status = Literal["unfinished", "annotated", "unreviewed", "accepted", "rejected"]
EXPORTED: Final = ("annotated", "accepted")
"""What is exported without being asked for: what a person has made or accepted."""


class Reviewer:
    """One reviewer of a set.

    Args:
        store: The set.
        reviewer: The reviewer's name.

    Raises:
        ConfigError: The name is empty, too long, or not printable.
    """

    def __init__(self, store: Store, reviewer: str) -> None:
        self.store, self.reviewer = store, check_name(reviewer)

    def next(self) -> Pair | None:
        """The next pair to review: finished, by someone else, and not reviewed by this reviewer.

        Proposals come first, and those with the fewest reviews, in an order of the reviewer's own: two reviewers at
        work seldom look at the same pair as long as others have none.
        """
        waiting = [pair for pair in self.pairs() if all(review.reviewer != self.reviewer for review in pair.reviews)]
        return min(waiting, key=self._priority, default=None)

    def pairs(self) -> list[Pair]:
        """All pairs that this reviewer may review or has reviewed, oldest first."""
        with self.store.transaction() as db:
            return [pair for pair in read_pairs(db) if pair.step == DONE and pair.annotator != self.reviewer]

    def review(self, pair: int, decision: str, caption: str = "") -> Pair:
        """Decide about a pair, or decide again.

        Args:
            pair: The pair.
            decision: ``accept``, ``fix``, ``reject``.
            caption: The fixed caption. If it differs from the pair's, ``accept`` is ``fix``.

        Raises:
            ConfigError: The pair is not finished, or the reviewer's own; or the caption cannot be used.
        """
        if decision not in DECISIONS:
            raise ConfigError(f"decision {decision[:60]!r}: give one of {', '.join(DECISIONS)}")
        with self.store.transaction() as db:
            there = read_pair(db, pair)
            if there.step != DONE:
                raise ConfigError(f"pair {pair}: it is not finished")
            if there.annotator == self.reviewer:
                raise ConfigError(f"pair {pair}: it is your own, and somebody else reviews it")
            decision, fixed = _decision(there, decision, caption)
            row = (pair, self.reviewer, decision, fixed, there.chosen, there.new_caption, time.time())
            db.execute("INSERT OR REPLACE INTO reviews VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            return read_pair(db, pair)

    def _priority(self, pair: Pair) -> tuple[bool, int, bytes]:
        order = hashlib.sha256(f"{self.reviewer}:{pair.id}".encode()).digest()
        return pair.origin != "proposed", len(pair.reviews), order


def status(pair: Pair) -> Status:
    """What has become of a pair: a majority of reviewers accepts it, and a tie rejects it."""
    if pair.step != DONE:
        return "unfinished"
    if not pair.reviews:
        return "unreviewed" if pair.origin == "proposed" else "annotated"
    accepted = sum(review.decision != "reject" for review in pair.reviews)
    return "accepted" if 2 * accepted > len(pair.reviews) else "rejected"


def final_caption(pair: Pair) -> str:
    """The new caption, as the last reviewer fixed it."""
    fixes = [review.caption for review in pair.reviews if review.decision == "fix"]
    return fixes[-1] if fixes else pair.new_caption


def _decision(pair: Pair, decision: str, caption: str) -> tuple[str, str]:
    """The decision and the fixed caption, empty if nothing is fixed."""
    text = " ".join(caption.split())
    if decision == "reject":
        return decision, ""
    if decision == "accept" and text in ("", pair.new_caption):
        return "accept", ""
    text = check_text("caption", text)
    if text == pair.new_caption:
        raise ConfigError("caption: it is the pair's own: accept it, or fix it")
    check_caption(pair.caption, text, pair.keyword)
    return "fix", text
