"""What may become part of a pair: names, texts, pictures."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from clipbench.errors import ConfigError, DataError
from clipbench.utils.text import text_problem

if TYPE_CHECKING:
    from PIL import Image

_LONGEST_TEXT: Final = 1_000
_LONGEST_NAME: Final = 100
_NO_TEXT: Final = ("Cc", "Cs")  # a terminal that shows a pair's texts must not obey them


def check_outside(before: Image.Image, after: Image.Image, mask: NDArray[np.bool_]) -> None:
    """Refuse a picture that differs from the photograph outside of the mask (H, W).

    Raises:
        DataError: It does, or their sizes differ.
    """
    if before.size != after.size or mask.shape != (before.height, before.width):
        raise DataError(f"sizes differ: photograph {before.size}, picture {after.size}, mask {mask.shape[::-1]}")
    differs = (np.asarray(before.convert("RGB")) != np.asarray(after.convert("RGB"))).any(axis=-1)  # (H, W)
    if count := int((differs & ~mask).sum()):
        raise DataError(f"{count:,} of {mask.size:,} pixels differ from the photograph outside of the mask")


def check_name(name: str) -> str:
    """An annotator's name, without white space around it.

    Raises:
        ConfigError: It is empty, too long, or not printable.
    """
    text = " ".join(name.split())
    if not text or len(text) > _LONGEST_NAME or not text.isprintable():
        raise ConfigError(f"annotator {name[:60]!r}: give a name of 1 to {_LONGEST_NAME} printable characters")
    return text


def check_text(what: str, text: str) -> str:
    """A prompt or caption in one line.

    Raises:
        ConfigError: It is empty, too long, or holds what is no text (control characters, halves of characters).
    """
    line = " ".join(text.split())
    if wrong := next((each for each in line if unicodedata.category(each) in _NO_TEXT), ""):
        raise ConfigError(f"{what}: the character U+{ord(wrong):04X} is no text: remove it")
    if text_problem(line):  # nothing, or nothing that can be seen
        raise ConfigError(f"{what}: it is empty")
    if len(line) > _LONGEST_TEXT:
        raise ConfigError(f"{what}: {len(line):,} characters, and {_LONGEST_TEXT:,} are the most")
    return line


def without_controls(text: str) -> str:
    r"""A text of the data without the characters that ``check_text`` refuses.

    Examples:
        >>> without_controls("A \x1b[1mred car")
        'A [1mred car'
    """
    return "".join(each for each in text if each.isspace() or unicodedata.category(each) not in _NO_TEXT)
