"""Where a run's time goes, and how much of the work had to be computed."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

STAGES = ("read", "decode", "wait for images", "image tower", "tokenize", "text tower", "score", "write")


@dataclass
class Profile:
    """Seconds by stage, and counts.

    Stages of the main thread exclude one another, so that they add up to wall time; ``decode`` is the sum over the
    threads that decode and preprocess meanwhile, and ``wait for images`` is what the main thread saw of it.

    Attributes:
        seconds: Stage to seconds.
        images: Images that went through the tower.
        texts: Texts that went through the tower.
        texts_asked: Texts of all samples, including repetitions.
        tokens: Tokens that went through the tower, padding included.
        on_encoded: Called after each batch that went through a tower.
    """

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    images: int = 0
    texts: int = 0
    texts_asked: int = 0
    tokens: int = 0
    on_encoded: Callable[[], None] = field(default=lambda: None, repr=False)

    def __post_init__(self) -> None:
        self._stages: list[str] = []
        self._since = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block's time to a stage, less that of stages within. For the main thread."""
        self._switch()
        self._stages.append(name)
        try:
            yield
        finally:
            self._switch()
            self._stages.pop()

    def count(self, *, images: int = 0, texts: int = 0) -> None:
        """Count what a batch has sent through a tower."""
        self.images += images
        self.texts += texts
        self.on_encoded()

    @contextmanager
    def thread_stage(self, name: str) -> Iterator[None]:
        """Count the block's time toward a stage, in threads other than the main one."""
        started = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[name] += time.perf_counter() - started

    def _switch(self) -> None:
        now = time.perf_counter()
        if self._stages:
            self.seconds[self._stages[-1]] += now - self._since
        self._since = now

    def summary(self, context_length: int | None = None) -> dict[str, object]:
        """The profile as results hold it.

        Args:
            context_length: The model's; with it, the tokens of all texts padded to it are added.

        Returns:
            ``seconds`` by stage, counts, and images and texts per second of their encoders' time.
        """
        found: dict[str, object] = {
            "seconds": {name: round(self.seconds[name], 4) for name in STAGES if name in self.seconds},
            "images": self.images,
            "images_per_second": _rate(self.images, self.seconds.get("image tower", 0.0)),
            "texts": self.texts,
            "texts_asked": self.texts_asked,
            "texts_per_second": _rate(self.texts, self.seconds.get("text tower", 0.0)),
            "tokens": self.tokens,
        }
        if context_length is not None:
            found["tokens_asked"] = self.texts_asked * context_length
        return found


def _rate(count: int, seconds: float) -> float | None:
    return round(count / seconds, 2) if seconds else None
