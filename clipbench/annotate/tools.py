"""The segmenter and the painter of a set."""

from __future__ import annotations

from clipbench.annotate.options import AnnotateOptions
from clipbench.annotate.painters import find
from clipbench.annotate.painters.base import Painter
from clipbench.annotate.segmenters import DEFAULT, Segmenter, find_segmenter, outlines_file
from clipbench.concepts import load_concept
from clipbench.errors import ConfigError
from clipbench.utils.files import local_path


def find_tools(options: AnnotateOptions) -> tuple[Segmenter, Painter]:
    """The segmenter and the painter that are asked for, or fit the data. No weights are loaded.

    By default, scenes have ``scenes`` and ``drawn``; photographs have CLIPSeg and Stable Diffusion 2, as the paper.
    With ``classic``, which needs no weights, masks are COCO's own outlines where their file lies beside the captions.

    Raises:
        ConfigError: One of them does not exist, or can never work on the data or the concept.
    """
    painter = find.find_painter(
        options.inpainter or ("drawn" if options.is_scenes else find.DEFAULT),
        device=options.device, dtype=options.dtype, steps=options.inpaint_steps,
    )  # fmt: skip
    if not options.is_scenes:
        for role, name in (("inpainter", options.inpainter), ("segmenter", options.segmenter)):
            if name in ("drawn", "scenes"):
                raise ConfigError(f"{role} {name} knows drawn scenes alone: give `data` scenes=40, or another {role}")
    painter.check(load_concept(options.concept).name)
    (place,) = options.data.values()
    outlines = None if options.is_scenes or ":" in place else outlines_file(local_path(place.partition("?")[0]))
    name = options.segmenter
    if name is None and options.is_scenes:
        name = "scenes"
    elif name is None and outlines is not None and painter.name in find.WITHOUT_WEIGHTS:
        name = "outlines"
    return find_segmenter(name or DEFAULT, outlines=outlines, device=options.device, dtype=options.dtype), painter
