"""Painters by name."""

from __future__ import annotations

from clipbench.annotate.painters.base import Painter

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
    """The painter called `name`: ``drawn``, ``classic``, or an inpainting pipeline (hub id or folder).

    Raises:
        ConfigError: Options that it does not take.
        ModelError: A library is missing.
    """
    raise NotImplementedError
