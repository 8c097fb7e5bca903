"""Indefinite articles: *a* or *an*, by the sound that a word begins with."""

from __future__ import annotations

import re
from typing import Final

_ARTICLE: Final = re.compile(r"(?<!\w)(?<!\w['’-])(a|an)(?=\s+\Z)", re.IGNORECASE)
# The rule of style guides (Chicago Manual of Style 7.32): *an* before the sound of a vowel. Letters tell it, but for
# words that begin with the sound of "you" or "one", and for those whose h is silent.
_AN: Final = re.compile(
    r"(?!eu|ewe|u[bkrt][aeiu]|uni(?!n|mp|d)|us[aeu]|u\W|one\b|once\b|ones)[aeiou]|hour|honest|hono|heir|[fhlmnrsx]\W",
    re.IGNORECASE,
)


def fit_article(before: str, word: str) -> str:
    """The text before a word, with an indefinite article at its end made to fit the word.

    Args:
        before: What precedes the word.
        word: The word, or several.

    Examples:
        >>> fit_article("A ", "orange"), fit_article("it is an ", "hour"), fit_article("sees an ", "one-eyed cat")
        ('An ', 'it is an ', 'sees a ')
        >>> fit_article("the ", "orange"), fit_article("vitamin-a ", "orange")
        ('the ', 'vitamin-a ')
    """
    return _ARTICLE.sub(lambda match: match.group(1)[0] + ("n" if _AN.match(word) else ""), before)
