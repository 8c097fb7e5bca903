"""An annotator's steps. No HTTP, no threads of its own; safe from several threads and processes."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clipbench.annotate.checks import check_name, check_outside, check_text
from clipbench.annotate.handout import annotators_of, take_next
from clipbench.annotate.reading import read_pair, read_pairs, read_progress
from clipbench.annotate.records import DONE, RATINGS, SKIPPED, STEPS, Candidate, Origin, Painting, Pair, Progress
from clipbench.annotate.store import Store
from clipbench.annotate.suggestions import check_caption, keyword_caption
from clipbench.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image


class Session:
    """One annotator at work on a set.

    Args:
        store: The set.
        annotator: The annotator's name, which goes into the column ``worker``.
        browser: Tells two browsers of one annotator apart, who then work on different photographs.
        origin: ``proposed`` for the program that proposes pairs.

    Raises:
        ConfigError: The name is empty, too long, or not printable.
    """

    def __init__(self, store: Store, annotator: str, browser: str = "", origin: Origin = "person") -> None:
        self.annotator = check_name(annotator)
        self.store, self.origin = store, origin
        self._holder = f"{store.name}/{browser}"

    def next(self, busy: Collection[int] = ()) -> Pair | None:
        """The pair to work on: an unfinished one of this annotator that is in no other hands, or a new photograph.

        Args:
            busy: Pairs that are passed over, because something is being painted for them.

        Returns:
            None if all photographs have been handed out.
        """
        return take_next(self.store, self.annotator, self._holder, self.origin, busy)

    def pair(self, pair: int) -> Pair:
        """A pair as it is now, of any annotator.

        Raises:
            ConfigError: There is none.
        """
        with self.store.transaction() as db:
            return read_pair(db, pair)

    def pairs(self) -> list[Pair]:
        """All pairs of this annotator, oldest first."""
        with self.store.transaction() as db:
            return read_pairs(db, annotator=self.annotator)

    def progress(self) -> Progress:
        """How far the set is."""
        with self.store.transaction() as db:
            return read_progress(db, self.annotator, annotators_of(db, self.origin))

    def use(self, pair: int, caption: str | None = None) -> Pair:
        """Use the photograph, with one of its captions; by default the first.

        Raises:
            ConfigError: It is not this annotator's, or the caption is none of the photograph's.
        """

        def change(there: Pair) -> dict[str, Any]:
            chosen = there.photograph.captions[0] if caption is None else caption
            if chosen not in there.photograph.captions:
                raise ConfigError("caption: none of this photograph's captions that hold a keyword")
            found = keyword_caption(self.store.concept, chosen)
            if chosen == there.caption:
                return {"step": "mask_prompt"}
            cleared = {"chosen": None, "rating": "", "new_caption": "", "replacement": ""}
            return {"step": "mask_prompt", "caption": chosen, "keyword": found.keyword, **cleared}

        return self._change(pair, "photograph", change)

    def skip(self, pair: int) -> Pair:
        """Skip the photograph, from any step. What has been entered stays, and `go_back` takes it up again."""
        return self._change(pair, None, lambda _: {"step": SKIPPED, "finished": time.time()})

    def set_mask_prompt(self, pair: int, prompt: str) -> Pair:
        """Set the masking prompt; it may be set again while the mask is made."""
        text = check_text("mask prompt", prompt)
        return self._change(
            pair, "mask_prompt", lambda there: {"step": "mask", "mask_prompts": _added(there.mask_prompts, text)}
        )

    def save_mask(self, pair: int, mask: NDArray[np.bool_], details: Mapping[str, Any] | None = None) -> Pair:
        """Save the mask, which ends its step.

        Args:
            pair: The pair.
            mask: (H, W) in the photograph's size.
            details: How it was made (model, widening); JSON.

        Raises:
            ConfigError: It is empty, covers the whole photograph, or has another size.
        """
        image = self.store.image(self.pair(pair).image)
        if mask.shape != (image.height, image.width):
            raise ConfigError(f"mask: {mask.shape[::-1]} pixels, and the photograph has {image.size}")
        if not mask.any():
            raise ConfigError("mask: it is empty: mark the object")
        if mask.all():
            raise ConfigError("mask: it covers the whole photograph: mark the object only")
        name = self.store.put_mask(mask)
        changes = {"step": "inpaint_prompt", "mask": name, "mask_details": dict(details or {})}
        return self._change(pair, "mask", lambda _: changes)

    def set_inpaint_prompt(self, pair: int, prompt: str, replacement: str) -> Pair:
        """Set the inpainting prompt, and the word that takes the keyword's place.

        Raises:
            ConfigError: A text is empty, or the replacement is none of the keyword's.
        """
        text = check_text("inpainting prompt", prompt)

        def change(there: Pair) -> dict[str, Any]:
            allowed = self.store.concept.replacements[there.keyword]
            if replacement not in allowed:
                raise ConfigError(f"replacement {replacement[:60]!r}: give one of {', '.join(allowed)}")
            return {"step": "candidates", "prompts": _added(there.prompts, text), "replacement": replacement}

        return self._change(pair, "inpaint_prompt", change)

    def painting(self, pair: int, count: int) -> Painting:
        """What is to be painted now, with seeds for ``count`` candidates."""
        with self.store.transaction() as db:
            there = self._mine(db, pair, "candidates")
            first = db.execute("SELECT seeds FROM pairs WHERE id = ?", (pair,)).fetchone()["seeds"]
            db.execute("UPDATE pairs SET seeds = seeds + ? WHERE id = ?", (count, pair))
            base = json.loads(db.execute("SELECT value FROM meta WHERE key = 'seed'").fetchone()["value"])
        seeds = tuple(range(base + first, base + first + count))
        image, mask = self.store.image(there.image), self.store.mask(there.mask)
        source = self.store.refs.get(there.photograph.id)
        return Painting(pair, image, mask, there.prompt, there.keyword, there.replacement, seeds, source)

    def add_candidate(
        self,
        painting: Painting,
        seed: int,
        image: Image.Image,
        mask: NDArray[np.bool_] | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        notes: tuple[str, ...] = (),
        seconds: float | None = None,
    ) -> Candidate:
        """Keep a candidate. The pair's step does not matter: it may have gone on, or back, while this was painted.

        Args:
            painting: What was painted.
            seed: One of its seeds.
            image: RGB, in the photograph's size, outside of the mask equal to it.
            mask: (H, W), where it may differ; by default the painting's.
            details: What the painter says about itself; JSON.
            notes: What the annotator should know.
            seconds: How long it took.

        Raises:
            DataError: It differs from the photograph outside of the mask, or in size.
        """
        inside = painting.mask if mask is None else mask
        check_outside(painting.image, image, inside)
        row = {
            "pair": painting.pair, "image": self.store.put_image(image.convert("RGB")),
            "mask": self.store.put_mask(inside), "prompt": painting.prompt, "keyword": painting.keyword,
            "replacement": painting.replacement, "seed": seed, "details": json.dumps(dict(details or {})),
            "notes": json.dumps(notes), "seconds": seconds,
        }  # fmt: skip
        with self.store.transaction() as db:
            # Repeating a candidate (same pair, same seed) changes nothing.
            places = ", ".join(f":{name}" for name in row)
            db.execute(f"INSERT OR IGNORE INTO candidates ({', '.join(row)}) VALUES ({places})", row)  # noqa: S608
            there = read_pair(db, painting.pair)
        return next(candidate for candidate in there.candidates if candidate.seed == seed)

    def choose(self, pair: int, candidate: int) -> Pair:
        """Choose a candidate.

        Raises:
            ConfigError: It is none of this pair's.
        """

        def change(there: Pair) -> dict[str, Any]:
            # Those painted for another caption, with another keyword, are no longer eligible.
            if candidate not in {one.id for one in there.candidates if one.keyword == there.keyword}:
                raise ConfigError(f"candidate {candidate}: none of this pair's")
            return {"step": "rating", "chosen": candidate}

        return self._change(pair, "candidates", change)

    def rate(self, pair: int, rating: str) -> Pair:
        """Rate the chosen candidate: ``very good`` or ``okay``."""
        if rating not in RATINGS:
            raise ConfigError(f"rating {rating[:60]!r}: give one of {', '.join(RATINGS)}")
        return self._change(pair, "rating", lambda _: {"step": "caption", "rating": rating})

    def set_caption(self, pair: int, caption: str) -> Pair:
        """Set the caption of the repainted photograph, which finishes the pair.

        Raises:
            ConfigError: See ``check_caption``.
        """
        text = check_text("caption", caption)

        def change(there: Pair) -> dict[str, Any]:
            check_caption(there.caption, text, there.keyword)
            return {"step": DONE, "new_caption": text, "finished": time.time()}

        return self._change(pair, "caption", change)

    def finish_proposal(self, pair: int, candidate: Candidate) -> Pair:
        """Choose a candidate, without a rating, with the suggested caption: the pair waits for its review.

        Raises:
            ConfigError: The suggested caption cannot be used.
        """

        def change(there: Pair) -> dict[str, Any]:
            found = keyword_caption(self.store.concept, there.caption)
            text = check_text("caption", found.exchanged(candidate.replacement))
            check_caption(there.caption, text, there.keyword)
            return {"step": DONE, "chosen": candidate.id, "new_caption": text, "finished": time.time()}

        return self._change(pair, "candidates", change)

    def go_back(self, pair: int, step: str) -> Pair:
        """Go back to a step of any pair of one's own, also a finished or skipped one; what was entered stays.

        Raises:
            ConfigError: The step has not been reached yet.
        """

        def change(there: Pair) -> dict[str, Any]:
            if step not in STEPS or STEPS.index(step) > STEPS.index(reached(there)):
                raise ConfigError(f"step {step[:60]!r}: not reached yet")
            return {"step": step, "holder": self._holder, "finished": None}

        return self._change(pair, None, change)

    def _change(self, pair: int, step: str | None, change: Callable[[Pair], dict[str, Any]]) -> Pair:
        """One step as one transaction.

        Args:
            pair: The pair.
            step: Where it must be, or further; None for anywhere.
            change: Gives the columns to set.
        """
        with self.store.transaction() as db:
            changes = change(self._mine(db, pair, step))
            values = {name: json.dumps(v) if isinstance(v, dict | list) else v for name, v in changes.items()}
            columns = ", ".join(f"{name} = :{name}" for name in values)
            db.execute(f"UPDATE pairs SET {columns} WHERE id = :id", {**values, "id": pair})  # noqa: S608
            return read_pair(db, pair)

    def _mine(self, db: sqlite3.Connection, pair: int, step: str | None) -> Pair:
        there = read_pair(db, pair)
        if there.annotator != self.annotator:
            raise ConfigError(f"pair {pair}: it is {there.annotator}'s, and only they can change it")
        if step is not None and there.step != step:
            raise ConfigError(f"pair {pair}: its next step is {there.step!r}, not {step!r}: go back first")
        return there


def reached(pair: Pair) -> str:
    """The furthest step for which a pair has what it needs."""
    needed = (pair.caption, pair.mask_prompt, pair.mask, pair.prompt and pair.replacement, pair.chosen, pair.rating)
    return STEPS[next((place for place, value in enumerate(needed) if not value), len(STEPS) - 1)]


def _added(texts: tuple[str, ...], text: str) -> list[str]:
    """The texts with one more, unless it is already the last."""
    return [*texts, *([] if texts[-1:] == (text,) else [text])]
