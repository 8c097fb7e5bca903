"""The contract of painters, and what holds for all of them: outside the mask, a picture stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipbench.annotate.jobs import Cancelled, IsCancelled, OnStep
from clipbench.errors import ConfigError
from clipbench.types import ImageRef

__all__ = ["Cancelled", "IsCancelled", "OnStep", "PaintRequest", "Painted", "Painter", "composite"]


@dataclass(frozen=True, slots=True)
class PaintRequest:
    """What to paint.

    Attributes:
        image: RGB, in its original size.
        mask: (H, W), True on the object.
        prompt: The inpainting prompt.
        concept: What is exchanged: ``object``, ``color``, ``size``.
        keyword: The word of the caption that is exchanged, e.g. ``white``.
        replacement: What it becomes, e.g. ``brown``.
        seed: One seed gives one picture.
        source: Where the image comes from. The drawn painter finds the scene by its key.
    """

    image: Image.Image
    mask: NDArray[np.bool_]
    prompt: str
    concept: str
    keyword: str
    replacement: str
    seed: int
    source: ImageRef | None = None


@dataclass(frozen=True, slots=True)
class Painted:
    """A candidate.

    Attributes:
        image: RGB, in the original size.
        mask: (H, W), where it may differ from the original: elsewhere it is equal to the bit. Mostly the request's
            mask; a larger one if the change needs more (an object that becomes larger; a scene's object is
            repainted whole). This is the mask to keep with the candidate, and to export.
        notes: What the annotator should know, a sentence each ("out of memory at 512 x 512: painted at 384 x 384").
    """

    image: Image.Image
    mask: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


class Painter(Protocol):
    """Repaints a picture inside a mask. Cheap to make: weights are loaded by the first `paint`."""

    @property
    def name(self) -> str:
        """``drawn``, ``classic``, or the diffusion pipeline as the user named it."""

    def check(self, concept: str) -> None:
        """Refuse a concept that it can never paint.

        Raises:
            ConfigError: In one line, with what to use instead.
        """

    def details(self) -> dict[str, object]:
        """What is recorded with a candidate besides prompt and seed: painter, model, revision, settings; JSON."""

    def seconds_per_candidate(self) -> float | None:
        """An estimate; None if unknown."""

    def paint(self, request: PaintRequest, on_step: OnStep, cancelled: IsCancelled) -> Painted:
        """Paint one candidate.

        Args:
            request: What to paint.
            on_step: Called with the steps done and the steps in all.
            cancelled: Asked between steps.

        Raises:
            Cancelled: `cancelled` said so.
            ClipbenchError: It cannot be painted, or the model cannot be loaded; in one line.
        """


def composite(image: Image.Image, painted: Image.Image, mask: NDArray[np.bool_]) -> Image.Image:
    """`painted` inside the mask, `image` outside, to the bit.

    Args:
        image: RGB.
        painted: RGB, of the same size.
        mask: (H, W).

    Raises:
        ConfigError: The sizes differ.
    """
    if painted.size != image.size or mask.shape != (image.height, image.width):
        sizes = f"picture {image.size}, painted {painted.size}, mask {mask.shape[::-1]}"
        raise ConfigError(f"the sizes differ ({sizes}): a mask must have the picture's size")
    pixels = np.where(mask[..., None], np.asarray(painted.convert("RGB")), np.asarray(image.convert("RGB")))
    return Image.fromarray(pixels)
