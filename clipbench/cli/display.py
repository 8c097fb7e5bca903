"""The live display at the bottom of a terminal: what a command is doing, how far it is, and the time left."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from threading import RLock, Timer
from time import monotonic
from typing import TYPE_CHECKING

from clipbench.cli.library_bars import library_bars
from clipbench.utils.text import printable

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.live import Live
    from rich.table import Table

_DELAY = 0.2  # seconds: a command that is done sooner shows nothing
_REDRAWN = 8  # times per second
_NARROWEST_BAR, _WIDEST_BAR = 6, 30


@dataclass
class Bar:
    """One thing that is being done.

    Attributes:
        name: What is being done.
        total: How much there is; None if unknown, which is drawn without a bar.
        done: How much is done.
        first: How much was done at the start: of a resumed run, what it resumes with.
        started: When that was, in seconds of a monotonic clock.
    """

    name: str
    total: int | None
    done: int
    first: int = 0
    started: float = field(default_factory=lambda: monotonic())

    def times(self) -> str:
        """The time left, or the time so far while the rest is unknown.

        Examples:
            >>> Bar("data", None, 0, started=monotonic() - 75).times()
            '1:15'
            >>> Bar("data", 100, 60, first=50, started=monotonic() - 10).times()
            '0:40 left'
        """
        elapsed = monotonic() - self.started
        if self.total is None or self.done <= self.first or self.done >= self.total:
            return _clock(elapsed)
        return f"{_clock(elapsed / (self.done - self.first) * (self.total - self.done))} left"

    def count(self) -> str:
        """How much is done, and how much there is."""
        if self.total is None:
            return f"{self.done:,}" if self.done else ""
        return f"{self.done:,}/{self.total:,}"


class Display:
    """At most three lines on stderr: a long work, its present part, and numbers about them.

    A thread redraws them, so that something moves while the main thread computes, loads or waits. Nothing is shown if
    stderr is not a terminal, or in any but the first process of several.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._live: Live | None = None
        self._timer: Timer | None = None
        self._is_open = False
        self._outer: Bar | None = None
        self._inner: Bar | None = None
        self._details = ""
        self._spinner: RenderableType = " "
        self._shown = ExitStack()

    @contextmanager
    def open(self, text: str) -> Iterator[None]:
        """Show what is done in the block, from the moment it takes longer than an instant.

        Args:
            text: What is shown before the first ``advance``.
        """
        self._outer, self._inner, self._details = None, Bar(text, None, 0), ""
        self._is_open = _is_possible()
        self._start_soon()
        try:
            yield
        finally:
            self._is_open = False
            self.hide()

    def advance(self, name: str, done: int, total: int | None) -> None:
        """Show the progress of something: a ``Progress`` of the library.

        Args:
            name: What is being done; a new name replaces the one before.
            done: How much of it is done.
            total: How much there is in all if that is known.
        """
        bar = _moved(self._inner, name, done, total)
        if self._inner is None or bar.name != self._inner.name:
            self._details = ""
        self._inner = bar
        self._start_soon()

    def advance_outer(self, name: str, done: int, total: int, details: str = "") -> None:
        """Show the progress of the whole, which stays while its parts come and go.

        Args:
            name: What is being done.
            done: How much of it is done.
            total: How much there is in all.
            details: Shown below it until a part begins.
        """
        self._outer, self._inner, self._details = _moved(self._outer, name, done, total), None, details
        self._start_soon()

    def encoded(self, images: int, texts: int) -> None:
        """Show how much has been encoded."""
        counts = [f"{count:,} {what}" for count, what in ((images, "images"), (texts, "texts")) if count]
        self._details = f"{' and '.join(counts)} encoded" if counts else ""

    def print_above(self, text: str) -> bool:
        """Print a line of stderr above the display; returns whether there is one."""
        with self._lock:
            if self._live is None:
                return False
            from rich.text import Text

            self._live.console.print(Text(text.rstrip("\n")), soft_wrap=True)
            return True

    def hide(self) -> None:
        """Remove the display, until something advances again."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._live = None
            with suppress(OSError):  # the terminal is gone
                self._shown.close()

    def __rich__(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        width = self._live.console.width if self._live else 80
        spinners = iter([self._spinner, " "])
        lines = [_line(bar, next(spinners), width) for bar in (self._outer, self._inner) if bar is not None]
        return Group(*lines, *([Text(f"   {self._details}", style="dim")] if self._details else []))

    def _start_soon(self) -> None:
        if not self._is_open or self._live is not None or self._timer is not None:
            return
        with self._lock:
            self._timer = Timer(_DELAY, self._start)
            self._timer.daemon = True
            self._timer.start()

    def _start(self) -> None:
        from rich.live import Live
        from rich.spinner import Spinner

        with self._lock:
            if self._timer is None or not self._is_open:
                return
            self._timer, self._spinner = None, Spinner("dots")
            self._live = Live(
                self, console=_console(), transient=True, refresh_per_second=_REDRAWN,
                redirect_stdout=sys.stdout.isatty(),
            )  # fmt: skip
            self._live.start(refresh=True)
            self._shown.callback(self._live.stop)
            self._shown.enter_context(library_bars(self._show_details))

    def _show_details(self, text: str) -> None:
        self._details = printable(text)


display = Display()
"""The display of this process."""


def _is_possible() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and os.environ.get("RANK", "0") == "0"


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, force_terminal=True, highlight=False, emoji=False)


def _moved(bar: Bar | None, name: str, done: int, total: int | None) -> Bar:
    """The bar, moved; a new one where it is of something else, or its total has become known."""
    name = printable(name).replace("\n", " ")
    if bar is None or (bar.name, bar.total) != (name, total):
        return Bar(name, total, done, first=done)
    bar.done = done
    return bar


def _line(bar: Bar, spinner: RenderableType, width: int) -> Table:
    """A bar as wide as a terminal has room for; a name that is too long is continued below, never cut."""
    from rich.cells import cell_len
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    numbers = [text for text in (bar.count(), bar.times()) if text]
    cells: list[RenderableType] = [spinner, Text(bar.name, overflow="fold")]
    room = width - 1 - sum(2 + cell_len(text) for text in (bar.name, *numbers)) - 2
    if bar.total is not None and room >= _NARROWEST_BAR:
        cells.append(ProgressBar(max(bar.total, 1), bar.done, width=min(room, _WIDEST_BAR)))
    line = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for place in range(len(cells) + len(numbers)):
        line.add_column(no_wrap=place != 1)
    line.add_row(*cells, *map(Text, numbers))
    return line


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
