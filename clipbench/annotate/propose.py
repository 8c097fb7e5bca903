"""Pairs made without a person, for people to accept or reject."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from clipbench.annotate.painters.base import Painted, Painter, PaintRequest
from clipbench.annotate.records import Painting, Pair
from clipbench.annotate.segmenters import Segmenter
from clipbench.annotate.session import Session
from clipbench.annotate.store import Store
from clipbench.annotate.suggestions import keyword_caption, suggested_order
from clipbench.errors import ConfigError, DataError
from clipbench.inference.scorer import Scorer
from clipbench.types import ImageRef, Sample, SampleError

if TYPE_CHECKING:
    from clipbench.models.base import Model

PROPOSER: Final = "clipbench annotate propose"


@dataclass(frozen=True, slots=True)
class Proposed:
    """What has come of it.

    Attributes:
        pairs: Proposals in the set.
        new: Those of them that are new.
        tried: Photographs that were tried.
        failures: Why photographs gave no proposal, and how many.
        example: What was said of one of them.
    """

    pairs: int
    new: int
    tried: int
    failures: Mapping[str, int]
    example: str = ""


class _Failed(Exception):
    """A caption gives no proposal: a reason to count, and a message."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Seen:
    """A candidate that the model tells from the photograph.

    Attributes:
        margin: By how much the closer of both captions prefers its own picture: Eq. 1 holds where it is positive.
    """

    seed: int
    painted: Painted
    seconds: float
    margin: float


class Proposer:
    """Makes proposals in a set. One that is killed goes on when it is run again.

    Args:
        store: The set, with its photographs.
        segmenter: Finds what the caption's keyword is about.
        painter: Repaints it.
        candidates: How many are painted for a caption.
        model: Keeps a candidate only where it sees the change; None keeps the first.
    """

    def __init__(
        self, store: Store, segmenter: Segmenter, painter: Painter, *, candidates: int = 3, model: Model | None = None
    ) -> None:
        self._store, self._segmenter, self._painter = store, segmenter, painter
        self._candidates, self._model = candidates, model
        self._session = Session(store, PROPOSER, origin="proposed")
        self._seed = int(store.meta()["seed"])

    def run(self, limit: int, on_progress: Callable[[int, int], None] = lambda done, of: None) -> Proposed:
        """Make proposals until the set has ``limit`` of them, or no photograph is left.

        Args:
            limit: Of proposals in the set, with those of earlier runs.
            on_progress: Called with proposals done and ``limit``.

        Raises:
            ModelError: A model cannot be loaded or used.
        """
        failures: Counter[str] = Counter()
        example, tried, new = "", 0, 0
        # Counted each time: another process may be at work on the same set.
        while (done := self._session.progress().mine) < limit and (pair := self._session.next()) is not None:
            tried += 1
            try:
                self._propose(pair)
                new += 1
            except _Failed as failure:
                failures[failure.reason] += 1
                example = example or str(failure)
                self._session.skip(pair.id)
            on_progress(done, limit)
        on_progress(done, limit)
        return Proposed(done, new, tried, dict(failures), example)

    def _propose(self, pair: Pair) -> None:
        """Try the captions in turn.

        Raises:
            _Failed: None of them gives a proposal; the first one's reason.
        """
        first: _Failed | None = None
        for caption in pair.photograph.captions:
            self._session.go_back(pair.id, "photograph")
            try:
                self._try(self._session.use(pair.id, caption))
                return
            except _Failed as failure:
                first = first or failure
            except (ConfigError, DataError) as error:
                first = first or _Failed("could not be edited", str(error))
        raise first or _Failed("have no caption")

    def _try(self, pair: Pair) -> None:
        found = keyword_caption(self._store.concept, pair.caption)
        digest = hashlib.sha256(f"{self._seed}:{pair.photograph.id}".encode()).digest()
        seed = int.from_bytes(digest[:4], "big")
        replacement = suggested_order(found.replacements, pair.photograph.details["captions"], seed)[0]
        self._session.set_mask_prompt(pair.id, found.mask_prompt)
        image, source = self._store.image(pair.image), self._store.refs.get(pair.photograph.id)
        mask = self._segmenter.segment(image, found.mask_prompt, source)
        self._session.save_mask(pair.id, mask, self._segmenter.details())
        self._session.set_inpaint_prompt(pair.id, found.exchanged(replacement), replacement)
        painting = self._session.painting(pair.id, self._candidates)
        seen = self._seen(painting, (pair.caption, found.exchanged(replacement)))
        selected = {} if self._model is None else {"selected_by": self._model.id}
        kept = [
            self._session.add_candidate(
                painting, one.seed, one.painted.image, one.painted.mask,
                details={**self._painter.details(), **selected}, notes=one.painted.notes, seconds=one.seconds,
            )
            for one in sorted(seen, key=lambda one: -one.margin)
        ]  # fmt: skip
        if not kept:
            raise _Failed("show no change that the model sees")
        self._session.finish_proposal(pair.id, kept[0])

    def _seen(self, painting: Painting, captions: tuple[str, str]) -> list[_Seen]:
        """The candidates that the model tells from the photograph; without a model, the first."""
        made = [self._paint(painting, seed) for seed in painting.seeds[: None if self._model else 1]]
        if self._model is None:
            return made
        original = ImageRef("photograph", lambda: painting.image)
        samples = [
            Sample(str(n), (original, ImageRef(f"candidate {n}", lambda one=one: one.painted.image)), captions, "", "")  # type: ignore[misc]
            for n, one in enumerate(made)
        ]
        with Scorer(self._model, workers=1) as scorer:
            scorer.begin("propose", images_return=False)
            scored = list(scorer.similarities(samples, f"pair {painting.pair}"))
        seen = []
        for one, result in zip(made, scored, strict=True):
            if isinstance(result.similarities, SampleError):
                raise DataError(result.similarities.reason)
            (s00, s01), (s10, s11) = result.similarities.tolist()
            seen.append(replace(one, margin=min(s00 - s10, s11 - s01)))
        return [one for one in seen if one.margin > 0]

    def _paint(self, painting: Painting, seed: int) -> _Seen:
        request = PaintRequest(
            painting.image, painting.mask, painting.prompt, self._store.concept.name, painting.keyword,
            painting.replacement, seed, painting.source,
        )  # fmt: skip
        started = time.monotonic()
        painted = self._painter.paint(request, lambda step, of: None, lambda: False)
        return _Seen(seed, painted, time.monotonic() - started, 0.0)
