"""What finds an object in a picture by a text: its mask."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from PIL import Image

from clipbench.annotate.masks import Mask
from clipbench.annotate.naming import first_named
from clipbench.annotate.painters.drawn import scene_of, visible
from clipbench.errors import ConfigError, DataError
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
    """The segmenter called `name`. No weights are loaded before it is used.

    Args:
        name: ``scenes`` (exact silhouettes), ``outlines`` (COCO's own), or a model of transformers that takes texts:
            CLIPSeg, SAM 3, or a zero-shot detector, whose boxes GrabCut refines; a hub id or a folder.
        outlines: ``instances_val2017.json``, for ``outlines``; `outlines_file` looks for it.
        device: As in an evaluation; for a model.
        dtype: As in an evaluation; for a model.
        revision: Of a model on the hub.
        threshold: Probability from which a pixel, or a box, counts; for a model.

    Raises:
        ConfigError: Options that it does not take, an unknown device or precision, or no outlines.
    """
    if name in WITHOUT_WEIGHTS:
        given = {"revision": revision, "threshold": threshold}
        if not_taken := [option for option, value in given.items() if value is not None]:
            raise ConfigError(f"segmenter {name} has no {' and no '.join(not_taken)}: leave it out")
    if name == "scenes":
        return SceneSegmenter()
    if name == "outlines":
        from clipbench.annotate.outlines import OutlineSegmenter

        if outlines is None:
            raise ConfigError(
                "segmenter outlines needs COCO's instances_val2017.json beside the captions: put it there, "
                f"or choose another segmenter ({DEFAULT})"
            )
        return OutlineSegmenter(outlines)
    from clipbench.annotate.text_segmenters import TextSegmenter

    return TextSegmenter(name, device=device, dtype=dtype, revision=revision, threshold=threshold)


def outlines_file(captions_or_folder: Path) -> Path | None:
    """``instances_*.json`` beside COCO's captions, of the same split; None if it is not there.

    Args:
        captions_or_folder: ``captions_val2017.json``, or COCO's folder.
    """
    from clipbench.data.layouts import coco

    captions = coco.recognize(captions_or_folder)
    if captions is None:
        return None
    path = captions.with_name(captions.name.replace("captions_", "instances_", 1))
    return path if path.is_file() else None


class SceneSegmenter:
    """The silhouette of a drawn scene's object: all its visible pixels."""

    name = "scenes"

    def details(self) -> dict[str, object]:
        return {"segmenter": self.name}

    def segment(self, image: Image.Image, prompt: str, source: ImageRef | None = None) -> Mask:
        scene = scene_of(source, "use another segmenter, a box or the brush")
        names = [thing.name for thing in scene.things]
        named = first_named(prompt, {name: name for name in names})
        if named is None:
            raise DataError(f"the scene shows {', '.join(names)}, and the prompt {prompt[:60]!r} names none of them")
        return visible(scene, names.index(named.meaning))
