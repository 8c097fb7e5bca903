"""What finds an object in a picture by a text: its mask."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from PIL import Image

from clipbench.annotate.masks import Mask
from clipbench.types import ImageRef

DEFAULT = "CIDAS/clipseg-rd64-refined"
WITHOUT_WEIGHTS = ("scenes", "outlines")


class Segmenter(Protocol):
    """Finds a mask by a text. Cheap to make: weights are loaded by the first `segment`."""

    @property
    def name(self) -> str:
        """``scenes``, ``outlines``, or the model as the user named it."""

    def details(self) -> dict[str, object]:
        """What is recorded in ``mask_details`` besides the prompt: segmenter, model, revision, settings; JSON."""

    def segment(self, image: Image.Image, prompt: str, source: ImageRef | None = None) -> Mask:
        """The mask, (H, W), of what the prompt names.

        Args:
            image: RGB.
            prompt: Names an object: "the white cat".
            source: Where the image comes from: scenes and outlines are found by its key.

        Raises:
            DataError: Nothing was found; in one line, with what to do.
            ModelError: The model cannot be loaded.
        """


def find_segmenter(
    name: str = DEFAULT,
    *,
    outlines: Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    threshold: float | None = None,
) -> Segmenter:
    """The segmenter called `name`: ``scenes``, ``outlines``, or a model of transformers (hub id or folder).

    Args:
        name: ``scenes`` gives exact silhouettes, ``outlines`` COCO's own.
        outlines: ``instances_val2017.json``, for ``outlines``; `outlines_file` looks for it.
        device: As elsewhere.
        dtype: As elsewhere.
        revision: Of a hub repository.
        threshold: Probability from which a pixel, or a box, counts.

    Raises:
        ConfigError: Options that it does not take, or no outlines.
    """
    raise NotImplementedError


def outlines_file(captions_or_folder: Path) -> Path | None:
    """``instances_*.json`` beside COCO's captions, or None."""
    raise NotImplementedError
