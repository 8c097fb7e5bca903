"""Which words of a text differ from those of another one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

_TOKEN = re.compile(r"\w+|[^\w\s]")
_LEAST_SHARED = 0.5  # below, the texts are different ones, and marking most of the words would mark none


def mark_differences(text: str, other: str) -> tuple[tuple[str, bool], ...]:
    """Split a text into parts, each with whether it differs from another text.

    Args:
        text: The text.
        other: The text to compare it with. If the two share less than half of their words, no part counts as different.

    Returns:
        Parts that make up ``text``.

    Examples:
        >>> mark_differences("A cat on the left.", "A cat on the right.")
        (('A cat on the ', False), ('left', True), ('.', False))
        >>> mark_differences("a dog bites a man", "a man bites a dog")
        (('a ', False), ('dog', True), (' bites a ', False), ('man', True))
        >>> mark_differences("tabby", "tiger shark")
        (('tabby', False),)
    """
    tokens, others = list(_TOKEN.finditer(text)), _TOKEN.findall(other)
    shared = _shared([token.group() for token in tokens], others)
    if 2 * len(shared) < _LEAST_SHARED * (len(tokens) + len(others)):
        return ((text, False),)
    parts, place = [], 0
    for is_shared, run in groupby(range(len(tokens)), shared.__contains__):
        if not is_shared:
            places = list(run)
            start, end = tokens[places[0]].start(), tokens[places[-1]].end()
            parts += [(text[place:start], False), (text[start:end], True)]
            place = end
    return tuple(part for part in [*parts, (text[place:], False)] if part[0])


def _shared(words: Sequence[str], others: Sequence[str]) -> set[int]:
    """Places of the words that are in a longest common subsequence; ``difflib`` finds shorter ones where words swap."""
    longest = [[0] * (len(others) + 1) for _ in range(len(words) + 1)]  # of the ends of both, from here on
    for i in reversed(range(len(words))):
        for j in reversed(range(len(others))):
            skip = max(longest[i + 1][j], longest[i][j + 1])
            longest[i][j] = 1 + longest[i + 1][j + 1] if words[i] == others[j] else skip
    shared, i, j = set(), 0, 0
    while i < len(words) and j < len(others):
        if words[i] == others[j]:
            shared.add(i)
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    return shared
