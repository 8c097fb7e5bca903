"""Which of some known things a text names first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Named:
    """A thing that a text names.

    Attributes:
        meaning: What the word stands for.
        plural: Whether it is named in the plural.
    """

    meaning: str
    plural: bool


_IRREGULAR = frozenset(("men", "women", "children", "people", "mice", "cattle", "puppies", "ponies", "knives", "buses"))


def first_named(text: str, words: Mapping[str, str]) -> Named | None:
    """What a text names first, as whole words in singular or plural, the longest where several begin there.

    Args:
        text: E.g. "the black traffic lights".
        words: Word or words to what it means, e.g. ``{"traffic light": "traffic light", "man": "person"}``.

    Examples:
        >>> first_named("two men on a motorbike", {"men": "person", "motorbike": "motorcycle"})
        Named(meaning='person', plural=True)
        >>> first_named("a hot dog for the dog", {"dog": "dog", "hot dog": "hot dog"})
        Named(meaning='hot dog', plural=False)
    """
    if not words:
        return None
    longest_first = sorted(words, key=len, reverse=True)
    pattern = "|".join(r"\s+".join(map(re.escape, word.split())) for word in longest_first)
    match = re.search(rf"(?<!\w)(?P<word>{pattern})(?P<plural>e?s)?(?!\w)", text.lower())
    if match is None:
        return None
    word = " ".join(match["word"].split())
    return Named(words[word], bool(match["plural"]) or word in _IRREGULAR)
