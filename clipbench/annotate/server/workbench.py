"""A set, what finds masks in it and paints it, and the heavy work that is going on for its pairs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clipbench.annotate.jobs import IsCancelled, Job, Jobs, OnStep, Work
from clipbench.annotate.painters.base import Cancelled, Painted, Painter, PaintRequest
from clipbench.annotate.reading import read_pair
from clipbench.annotate.segmenters import Segmenter
from clipbench.annotate.session import Session
from clipbench.annotate.store import Store
from clipbench.errors import ConfigError

if TYPE_CHECKING:
    from clipbench.annotate.records import Painting, Pair


@dataclass(frozen=True, slots=True)
class Draft:
    """A mask that was found and not yet confirmed. A stopped server forgets it; it is found again.

    Attributes:
        mask: (H, W).
        prompt: What it was found by.
        number: Differs between all drafts of a server.
    """

    mask: NDArray[np.bool_]
    prompt: str
    number: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A painted candidate on its way into the set."""

    seed: int
    painted: Painted
    seconds: float


class Workbench:
    """What the pages of all annotators share. Thread-safe.

    Args:
        store: The set, with its photographs.
        segmenter: Finds masks by a text.
        painter: Repaints.
        candidates: How many are painted at a time.
        jobs: The queue; by default one of its own.
    """

    def __init__(
        self, store: Store, segmenter: Segmenter, painter: Painter, candidates: int = 3, jobs: Jobs | None = None
    ) -> None:
        self.store, self.segmenter, self.painter, self.candidates = store, segmenter, painter, candidates
        self.jobs = jobs or Jobs()
        self._mutex = threading.Lock()
        self._drafts: dict[int, Draft] = {}
        self._numbers = 0
        self._running: dict[int, str] = {}  # pair → job

    def pair(self, number: int) -> Pair:
        """A pair, whoever asks: pictures are asked for without a name.

        Raises:
            ConfigError: There is none.
        """
        with self.store.transaction() as db:
            return read_pair(db, number)

    def job(self, pair: int) -> Job | None:
        """The work that is going on for a pair."""
        with self._mutex:
            return self._unfinished_jobs().get(pair)

    def busy(self) -> set[int]:
        """The pairs that work is going on for."""
        with self._mutex:
            return set(self._unfinished_jobs())

    def draft(self, pair: int) -> Draft | None:
        """The mask that was found for a pair and is not confirmed yet."""
        with self._mutex:
            return self._drafts.get(pair)

    def forget_draft(self, pair: int) -> None:
        """A mask was confirmed, or another caption is used."""
        with self._mutex:
            self._drafts.pop(pair, None)

    def find_mask(self, session: Session, number: int, prompt: str) -> tuple[Pair, Job]:
        """Set the masking prompt and look for what it names; the mask becomes the pair's draft.

        Returns:
            The pair, and the job, which may have ended already.

        Raises:
            ConfigError: The pair is at another step, or work is going on for it.
        """
        if session.pair(number).step == "mask":
            session.go_back(number, "mask_prompt")
        pair = session.set_mask_prompt(number, prompt)

        def work(on_step: OnStep, cancelled: IsCancelled) -> Iterator[NDArray[np.bool_]]:
            on_step(0, 1)
            image, source = self.store.image(pair.image), self.store.refs.get(pair.photograph.id)
            mask = self.segmenter.segment(image, pair.mask_prompt, source)
            if cancelled():
                raise Cancelled
            on_step(1, 1)
            yield mask

        def keep(mask: NDArray[np.bool_]) -> None:
            with self._mutex:
                self._numbers += 1
                self._drafts[number] = Draft(mask, pair.mask_prompt, self._numbers)

        return pair, self._submit(number, "Finding the mask", work, keep, None)

    def paint(self, session: Session, number: int, prompt: str, replacement: str) -> tuple[Pair, Job]:
        """Set the inpainting prompt and paint candidates; each is in the set before the next is begun.

        Returns:
            The pair, and the job, which may have ended already.

        Raises:
            ConfigError: The pair is at another step, or work is going on for it.
        """
        if session.pair(number).step == "candidates":
            session.go_back(number, "inpaint_prompt")
        pair = session.set_inpaint_prompt(number, prompt, replacement)
        painting = session.painting(number, self.candidates)

        def work(on_step: OnStep, cancelled: IsCancelled) -> Iterator[_Candidate]:
            for index, seed in enumerate(painting.seeds):
                started = time.monotonic()
                painted = self._paint(painting, index, on_step, cancelled)
                yield _Candidate(seed, painted, time.monotonic() - started)

        def keep(one: _Candidate) -> None:
            session.add_candidate(
                painting, one.seed, one.painted.image, one.painted.mask,
                details=self.painter.details(), notes=one.painted.notes, seconds=one.seconds,
            )  # fmt: skip

        each = self.painter.seconds_per_candidate()
        seconds = None if each is None else each * len(painting.seeds)
        return pair, self._submit(number, f"Painting {len(painting.seeds)} candidates", work, keep, seconds)

    def _paint(self, painting: Painting, index: int, on_step: OnStep, cancelled: IsCancelled) -> Painted:
        request = PaintRequest(
            painting.image, painting.mask, painting.prompt, self.store.concept.name, painting.keyword,
            painting.replacement, painting.seeds[index], painting.source,
        )  # fmt: skip
        count = len(painting.seeds)
        return self.painter.paint(request, lambda step, steps: on_step(index * steps + step, count * steps), cancelled)

    def _unfinished_jobs(self) -> dict[int, Job]:
        """Forgets the others; to be called with the mutex."""
        jobs = {pair: self.jobs.get(number) for pair, number in self._running.items()}
        unfinished = {pair: job for pair, job in jobs.items() if not job.over}
        self._running = {pair: job.id for pair, job in unfinished.items()}
        return unfinished

    def _submit(self, pair: int, label: str, work: Work, keep: Callable[[Any], None], seconds: float | None) -> Job:
        with self._mutex:
            if pair in self._unfinished_jobs():
                raise ConfigError(f"pair {pair}: work is going on for it: wait, or cancel it")
            job = self.jobs.submit(label, work, keep, seconds=seconds)
            self._running[pair] = job.id
            return job
