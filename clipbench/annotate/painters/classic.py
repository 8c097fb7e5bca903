"""Edits of photographs without a model: an object in another color or another size."""

from __future__ import annotations

import time

from clipbench.annotate import masks
from clipbench.annotate.painters.base import Cancelled, IsCancelled, OnStep, Painted, PaintRequest, composite
from clipbench.annotate.painters.recolor import recolor
from clipbench.annotate.painters.resize import resize
from clipbench.errors import ConfigError

_CONCEPTS = ("color", "size")


class ClassicPainter:
    """Recolors inside the mask with the shading kept; scales an object and fills in the background.

    Seeds vary the shade and strength of a color, how much a size changes, and what the background is filled with.
    A candidate of another size has a larger mask than the object's: where the object was, is, and its rim.
    """

    name = "classic"

    def check(self, concept: str) -> None:
        if concept not in _CONCEPTS:
            raise ConfigError(
                f"inpainter classic changes color and size, but cannot paint another {concept} without a model: "
                "choose a diffusion model"
            )

    def __init__(self) -> None:
        self._seconds = 1.0

    def details(self) -> dict[str, object]:
        return {"inpainter": self.name, "version": 1}

    def seconds_per_candidate(self) -> float | None:
        """What the last one took; a second before the first."""
        return self._seconds

    def paint(self, request: PaintRequest, on_step: OnStep, cancelled: IsCancelled) -> Painted:
        self.check(request.concept)
        masks.check(request.mask, request.image.size)
        if cancelled():
            raise Cancelled
        started = time.monotonic()
        first, second = _spread(request.seed)
        words = (request.keyword, request.replacement)
        if request.concept == "color":
            region = request.mask
            picture = recolor(request.image, region, *words, shade=first, strength=second)
        else:
            picture, region = resize(request.image, request.mask, *words, amount=first, choice=request.seed % 3)
            masks.check(region, request.image.size)
        self._seconds = time.monotonic() - started
        on_step(1, 1)
        return Painted(composite(request.image, picture, region), region)


def _spread(seed: int) -> tuple[float, float]:
    """Two numbers in [0, 1): those of seeds in a row are far apart (the R2 sequence)."""
    place = seed % 1_000_003
    return (0.5 + place * 0.7548776662466927) % 1, (0.5 + place * 0.5698402909980532) % 1
