"""How a set is annotated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clipbench.errors import ConfigError
from clipbench.utils.numbers import check_whole

_MOST_CANDIDATES: Final = 16
_MOST_ANNOTATORS: Final = 100
_MOST_STEPS: Final = 1_000
_MOST_PICTURES: Final = 1_000_000


@dataclass(frozen=True)
class AnnotateOptions:
    """How a set is annotated.

    Attributes:
        data: One data set and where it lies, as ``clipbench eval`` takes it; or ``scenes`` and the number of pictures.
        concept: ``object``, ``color``, ``size``, or a YAML file.
        output_path: The set's folder.
        segmenter: What makes masks: a text-prompted segmenter of transformers, ``scenes``, ``outlines``; None for what
            fits (see ``find_tools``).
        inpainter: What repaints: an inpainting pipeline of diffusers, ``drawn``, ``classic``; None for what fits.
        candidates: Candidates painted at once.
        annotators_per_photograph: How many annotators get each photograph. None: as the set has it, or 1.
        seed: Of the order of photographs, and of candidates.
        device: As in ``clipbench eval``.
        dtype: Precision of models, as in ``clipbench eval``.
        inpaint_steps: Denoising steps of a pipeline; None for its own number.
        image_license: The license of the photographs, where the data states none.

    Raises:
        ConfigError: A value is invalid.
    """

    data: Mapping[str, str]
    concept: str
    output_path: Path
    segmenter: str | None = None
    inpainter: str | None = None
    candidates: int = 3
    annotators_per_photograph: int | None = None
    seed: int = 0
    device: str | None = None
    dtype: str | None = None
    inpaint_steps: int | None = None
    image_license: str = ""

    def __post_init__(self) -> None:
        if len(self.data) != 1:
            raise ConfigError("`data`: give one data set, such as coco=FOLDER or scenes=40")
        check_whole("candidates", self.candidates, 1, _MOST_CANDIDATES)
        check_whole("seed", self.seed, 0, 2**31 - 1)  # seeds of candidates count on from here, to 32 bits
        if self.annotators_per_photograph is not None:
            check_whole("annotators_per_photograph", self.annotators_per_photograph, 1, _MOST_ANNOTATORS)
        if self.inpaint_steps is not None:
            check_whole("inpaint_steps", self.inpaint_steps, 1, _MOST_STEPS)
        if self.is_scenes:
            place = self.data["scenes"]
            if not (place.isascii() and place.isdecimal()) or not 1 <= int(place) <= _MOST_PICTURES:
                raise ConfigError(f"`data` scenes={place[:40]}: give 1 to {_MOST_PICTURES:,} pictures")
        if self.output_path.exists() and not self.output_path.is_dir():
            raise ConfigError(f"output_path {self.output_path}: is a file: give a folder")

    @property
    def is_scenes(self) -> bool:
        """Whether the photographs are drawn scenes."""
        return "scenes" in self.data

    @property
    def location(self) -> str:
        """The data as the user wrote it: ``coco=FOLDER``."""
        return "".join(f"{name}={place}" for name, place in self.data.items())
