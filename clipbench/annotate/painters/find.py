"""Painters by name."""

from __future__ import annotations

from clipbench.annotate.painters.base import Painter
from clipbench.errors import ConfigError

DEFAULT = "stabilityai/stable-diffusion-2-inpainting"
WITHOUT_WEIGHTS = ("drawn", "classic")


def find_painter(
    name: str = DEFAULT,
    *,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    steps: int | None = None,
) -> Painter:
    """The painter called `name`. No weights are loaded before it paints.

    Args:
        name: ``drawn``, ``classic``, or an inpainting pipeline of diffusers (hub id or folder).
        device: As in an evaluation; for a pipeline.
        dtype: As in an evaluation; for a pipeline.
        revision: Of a pipeline on the hub.
        steps: Denoising steps of a pipeline; by default its own number.

    Raises:
        ConfigError: An option that it does not take, an unknown device or precision, or a library is missing.
    """
    if name in WITHOUT_WEIGHTS:
        given = {"device": device, "dtype": dtype, "revision": revision, "steps": steps}
        if not_taken := [option for option in ("revision", "steps") if given[option] is not None]:
            raise ConfigError(f"inpainter {name} has no {' and no '.join(not_taken)}: leave it out")
    if name == "drawn":
        from clipbench.annotate.painters.drawn import DrawnPainter

        return DrawnPainter()
    if name == "classic":
        from clipbench.annotate.painters.classic import ClassicPainter

        return ClassicPainter()
    from clipbench.annotate.painters.diffusion import DiffusionPainter

    return DiffusionPainter(name, device=device, dtype=dtype, revision=revision, steps=steps)
