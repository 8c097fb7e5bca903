"""Progress bars for Python callers, in a terminal and in a notebook; the command line draws its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clipbench.evaluation.options import Progress


def in_notebook() -> bool:
    """Whether Python runs behind a notebook."""
    ipython = sys.modules.get("IPython")
    return type(ipython and ipython.get_ipython()).__name__ == "ZMQInteractiveShell"


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Show a bar for each task, on stderr or as a notebook widget.

    Yields:
        The function that moves them.
    """
    if in_notebook() and find_spec("ipywidgets") is None:
        from tqdm import tqdm  # as text; tqdm.auto would warn
    else:
        from tqdm.auto import tqdm

    bars: dict[str, Any] = {}
    with ExitStack() as stack:

        def advance(name: str, done: int, total: int | None) -> None:
            if not done and total is None:
                return  # nothing is known yet
            if name not in bars:
                bars[name] = stack.enter_context(tqdm(desc=name, total=total, initial=done))
            bars[name].update(done - bars[name].n)
            if done == total:
                bars[name].close()  # a finished bar stays, and the next one starts below it

        yield advance
