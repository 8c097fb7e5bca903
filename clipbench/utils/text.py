"""Text of messages: errors as one line, and numbers with nouns."""

from __future__ import annotations

import traceback
from pathlib import Path

from clipbench.errors import ClipbenchError


def format_error(error: Exception) -> str:
    """An error as one line: our own messages unchanged, any other error with its class, file and line.

    Examples:
        >>> format_error(ClipbenchError("no such file"))
        'no such file'
    """
    if isinstance(error, ClipbenchError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def pluralize(number: int, noun: str) -> str:
    """A number with its noun.

    Examples:
        >>> pluralize(1, "column"), pluralize(12_907, "sample")
        ('1 column', '12,907 samples')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def line_in(file: Path, error: BaseException) -> int:
    """The last line of a file in an error's traceback; 1 if the file is not in it."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.lineno and Path(frame.filename).resolve() == file.resolve()]
    return lines[-1] if lines else 1
