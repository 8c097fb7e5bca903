"""Standard output and error, which may be closed, full, or read by a process that stops early."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import click

from clipbench.cli.display import display
from clipbench.errors import ResultError

_closed = False


def open_standard_streams() -> None:
    """Open closed streams (``>&-``) to the null device, or the next opened file would take their numbers.

    Characters that the terminal's encoding lacks are escaped.
    """
    global _closed
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    _closed = sys.stdout is None
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def write(text: str, *, err: bool = False) -> bool:
    """Write on stdout, or on stderr, and flush. On a terminal, lines stand above the live display, never in it.

    Returns:
        False if the reader (``| head``) has closed the pipe; further output is discarded.

    Raises:
        ResultError: stdout is closed or cannot be written to; failures on stderr are ignored.
    """
    if _closed and not err:
        raise ResultError("stdout: cannot be written: it is closed")
    if not err and sys.stdout.isatty():
        display.hide()
    stream: Any = sys.stderr if err else sys.stdout
    try:
        if err and display.print_above(text):
            return True
        click.echo(text, nl=False, file=stream)
    except BrokenPipeError:
        discard(stream)
        return False
    except OSError as error:
        discard(stream)
        if not err:
            raise ResultError(f"stdout: cannot be written: {error.strerror or error}") from None
    return True


def discard(stream: TextIO) -> None:
    """Discard further output, or Python would complain when it flushes at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
