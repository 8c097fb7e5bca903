"""How far the scoring of a task is, with the part of a chunk that is encoded already."""

from __future__ import annotations

from collections.abc import Callable

from clipbench.inference.profile import Profile

_TEXTS_PER_IMAGE = 5  # that cost as much: between captions and those that share a beginning, of ViT-B/32 on a CPU


class ScoringProgress:
    """Reports the samples that are done, after each batch that goes through an encoder.

    A chunk's samples are done together, which would be seconds apart: those of the chunk at work count in proportion to
    what is encoded of it. Chunks that need not be scored are not reported, so that the first report of a resumed task
    is where it resumes.

    Args:
        profile: What counts the images and texts that are encoded.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._report: Callable[[int], None] = lambda done: None
        self._done = self._samples = 0
        self._work = self._work_before = 0
        profile.on_encoded = self._encoded

    def begin(self, report: Callable[[int], None]) -> None:
        """Begin a task; ``report`` is called with the samples done."""
        self._report, self._done, self._work = report, 0, 0

    def enter(self, samples: int, images: int, texts: int) -> None:
        """Begin to score samples, for which so many images and texts are to be encoded."""
        self._samples, self._work = samples, max(1, _TEXTS_PER_IMAGE * images + texts)
        self._work_before = self._encoded_work()
        self._report(self._done)

    def leave(self, samples: int) -> None:
        """Samples are done, whether or not they were entered."""
        self._done += samples
        if self._work:
            self._work = 0
            self._report(self._done)

    def _encoded(self) -> None:
        if self._work:
            share = (self._encoded_work() - self._work_before) / self._work
            self._report(self._done + int(self._samples * min(1.0, share)))

    def _encoded_work(self) -> int:
        return _TEXTS_PER_IMAGE * self._profile.images + self._profile.texts
