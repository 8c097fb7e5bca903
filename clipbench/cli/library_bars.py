"""Bars of libraries, such as a download's, as a line of the live display: on their own they would tear it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_WIDTH = 74  # with the indent, in a terminal of 80 columns


@contextmanager
def library_bars(show: Callable[[str], None]) -> Iterator[None]:
    """Take over what tqdm's bars would draw, during the block.

    Args:
        show: Called with a bar as one line, and with an empty line where a bar is done.
    """
    from tqdm.std import tqdm  # every library's bars inherit from it

    def display(bar: Any, msg: str | None = None, pos: int | None = None) -> bool:
        show(bar.format_meter(**{**bar.format_dict, "ncols": _WIDTH}))
        return True

    def close(bar: Any) -> None:
        if not getattr(bar, "disable", True):
            bar.disable = True
            bar._decr_instances(bar)
            show("")

    before = tqdm.display, tqdm.close
    tqdm.display, tqdm.close = display, close
    try:
        yield
    finally:
        tqdm.display, tqdm.close = before
