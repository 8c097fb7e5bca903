"""What a set of annotations holds: photographs, pairs, candidates, reviews."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

    from clipbench.types import ImageRef

STEPS: Final = ("photograph", "mask_prompt", "mask", "inpaint_prompt", "candidates", "rating", "caption")
"""What an annotator does for a pair, in order: use or skip the photograph, …, write the new caption."""
DONE: Final = "done"
SKIPPED: Final = "skipped"
RATINGS: Final = ("very good", "okay")
DECISIONS: Final = ("accept", "fix", "reject")

Origin = Literal["person", "proposed"]


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph that can be annotated.

    Attributes:
        id: Its row's id in the data.
        captions: Its captions that hold a keyword with a replacement, as written.
        details: ``coco_details`` of InpaintCOCO: all captions, addresses, size, licenses.
    """

    id: str
    captions: tuple[str, ...]
    details: Mapping[str, Any]

    @property
    def license(self) -> str:
        """Its license; empty if the data states none."""
        return str(self.details["image_license"])


@dataclass(frozen=True, slots=True)
class Candidate:
    """A repainted photograph.

    Attributes:
        id: Unique in the set.
        image: Digest of the picture's file (see ``Store.image_path``).
        mask: Digest of the mask's file: outside of it, the picture equals the photograph to the bit.
        prompt: The inpainting prompt.
        keyword, replacement: The word of the caption, and what it became.
        seed: The painter's seed.
        details: What the painter says about itself: model, revision, settings.
        notes: What the annotator should know.
        seconds: How long it took; None if unknown.
    """

    id: int
    image: str
    mask: str
    prompt: str
    keyword: str
    replacement: str
    seed: int
    details: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """One reviewer's decision about a pair: ``accept``, ``fix`` (accepted with another caption), ``reject``."""

    reviewer: str
    decision: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """A photograph in an annotator's hands, and what has been entered so far.

    Attributes:
        id: Unique in the set.
        photograph: The photograph.
        annotator: Who annotates it; for proposals, the program.
        origin: ``person`` or ``proposed``.
        step: The next thing to do, one of ``STEPS``, or ``done`` or ``skipped``.
        image: Digest of the photograph's file.
        caption: The caption that the pair is based on; empty before the photograph is used.
        mask_prompt: The masking prompt.
        mask_prompts: All masking prompts tried, in order.
        mask: Digest of the mask's file; empty if there is none yet.
        mask_details: How the mask was made: model, widening.
        prompt: The inpainting prompt.
        prompts: All inpainting prompts tried, in order.
        keyword, replacement: The caption's keyword, and what it is to become.
        candidates: All candidates, oldest first.
        chosen: Id of the chosen candidate.
        rating: ``very good`` or ``okay``.
        new_caption: The caption of the repainted photograph.
        reviews: The decisions of the second pass, oldest first.
        seconds: From hand-out to done, for pairs that are done.
    """

    id: int
    photograph: Photograph
    annotator: str
    origin: Origin
    step: str
    image: str = ""
    caption: str = ""
    mask_prompt: str = ""
    mask_prompts: tuple[str, ...] = ()
    mask: str = ""
    mask_details: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = ""
    prompts: tuple[str, ...] = ()
    keyword: str = ""
    replacement: str = ""
    candidates: tuple[Candidate, ...] = ()
    chosen: int | None = None
    rating: str = ""
    new_caption: str = ""
    reviews: tuple[Review, ...] = ()
    seconds: float | None = None

    @property
    def choice(self) -> Candidate | None:
        """The chosen candidate."""
        return next((candidate for candidate in self.candidates if candidate.id == self.chosen), None)


@dataclass(frozen=True, slots=True)
class Painting:
    """What is to be painted for a pair, as of when it was asked for: the pair may change while it is painted.

    Attributes:
        pair: The pair's id.
        image: The photograph, RGB.
        mask: (H, W), True on the object.
        prompt, keyword, replacement: As in ``Pair``.
        seeds: One for each candidate, never given before for this pair.
        source: The photograph's reference, which the drawn painter needs.
    """

    pair: int
    image: Image.Image
    mask: NDArray[np.bool_]
    prompt: str
    keyword: str
    replacement: str
    seeds: tuple[int, ...]
    source: ImageRef | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a set is.

    Attributes:
        photographs: Photographs that can be annotated.
        left: Those of them that can still be handed out to this annotator.
        done: Finished pairs of all annotators; ``mine`` of them are this annotator's.
        mine: See ``done``.
        skipped: Skipped photographs.
        unreviewed: Proposed pairs that nobody has reviewed.
    """

    photographs: int
    left: int
    done: int
    mine: int
    skipped: int
    unreviewed: int
