"""Text of messages: errors as one line, and numbers with nouns. Also, texts that no model can read."""

from __future__ import annotations

import re
import traceback
import unicodedata
from pathlib import Path

from clipbench.errors import ClipbenchError

# A letter or digit that is no part of a character reference such as &nbsp;.
_WORD = re.compile(r"(?<![&#;\w])[A-Za-z0-9]")

STEERING = {"Cc": "?", "Cf": "?", "Cs": "?", "Zl": " ", "Zp": " "}
"""Categories of characters that steer a terminal, and what replaces them: control, direction, surrogates, line ends."""


def format_error(error: Exception) -> str:
    """An error as one line: our own messages unchanged, any other error with its class, file and line.

    Examples:
        >>> format_error(ClipbenchError("no such file"))
        'no such file'
    """
    if isinstance(error, ClipbenchError):
        return shorten(str(error))
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return shorten(f"{type(error).__name__}: {' '.join(str(error).split())}{place}")


def reason(error: BaseException) -> str:
    """The text of a library's or Python's exception in one line, for a message that already names the file.

    Examples:
        >>> reason(KeyError("epoch")), reason(ValueError())
        ("'epoch' is missing", 'ValueError')
    """
    if isinstance(error, KeyError) and error.args:
        return f"{error.args[0]!r} is missing"
    text = getattr(error, "strerror", None) or str(error)
    return shorten(" ".join(text.split())) or type(error).__name__


def shorten(text: str, most: int = 1_500) -> str:
    """A message that fits on a screen: its beginning, and its end, which says what to do.

    Examples:
        >>> shorten("a" * 50 + "b" * 50, most=40)
        'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa … (100 characters) … bbbbbbbbbb'
    """
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]} … ({len(text):,} characters) … {text[-end:]}"


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


def excerpt(text: str, most: int) -> str:
    """Text as one line of at most ``most`` characters, cut in the middle.

    Examples:
        >>> excerpt("abcdefghij", 5), excerpt("a  b", 5)
        ('ab…ij', 'a b')
    """
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most // 2]}…{line[len(line) - (most - 1) // 2 :]}"


def short_repr(value: object) -> str:
    """A value as Python writes it, cut to 60 characters.

    Examples:
        >>> short_repr("a"), len(short_repr("a" * 100))
        ("'a'", 58)
    """
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def printable(text: str) -> str:
    r"""Replace what would steer a terminal: control characters and escape sequences in names and captions.

    Examples:
        >>> printable("a\x1b[31mred\x07.png")
        'a?[31mred?.png'
    """
    if text.isprintable():
        return text
    return "".join(STEERING.get(unicodedata.category(sign), sign) if sign not in "\n\t" else sign for sign in text)


def writable(text: str) -> str:
    """Text that a file can hold: lone surrogates, from file names or JSON, become ``?``.

    Examples:
        >>> writable("a" + chr(0xD800))
        'a?'
    """
    return text.encode(errors="replace").decode()


def text_problem(text: str) -> str | None:
    r"""Why no model can read a text, in one line; None if models can.

    Examples:
        >>> text_problem("a white cat"), text_problem(" \u200b ")
        (None, 'empty caption')
    """
    if text.isprintable():  # then there are neither NULs nor surrogates
        return None if text.strip() else "empty caption"
    if "\0" in text:
        return "the caption contains a NUL"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "the caption contains a lone surrogate"
    visible = any(character.isprintable() and not character.isspace() for character in text)
    return None if visible else "empty caption"


def may_be_nothing(text: str) -> bool:
    """Whether a tokenizer may find nothing in a text: no letter or digit of ASCII outside character references.

    Examples:
        >>> may_be_nothing("a cat"), may_be_nothing("&nbsp;"), may_be_nothing("…")
        (False, True, True)
    """
    return _WORD.search(text) is None
