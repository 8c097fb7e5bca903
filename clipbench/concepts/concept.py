"""Concepts: keywords, where they occur in a caption, and what replaces them.

Section 3.1 and Table 3 of Rösch et al., arXiv 2403.02875.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

# What separates words when keywords are looked for. Anything else next to a keyword blocks a match
# (`-`, `/`, quotes, parentheses, letters): this is not `\b`. Only this rule gives the published sample counts.
SEPARATORS = frozenset(" ,.;@#?!&$")
_SEPARATOR = r"[\s,.;@#?!&$]"
# The same for RE2, whose \s is that of ASCII.
_RE2_SEPARATOR = (
    r"[\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000},.;@#?!&$]"
)


class Variants(Sequence[str]):
    """A caption followed by its copies with the keyword replaced, made lazily.

    ``variants[0]`` is the original caption; ``variants[k]`` for k ≥ 1 holds ``replacements[k - 1]``.

    Attributes:
        caption: The original caption.
        keyword: The keyword in the concept's spelling.
        start: Where the keyword starts in the caption, in characters.
        end: Where it ends.
        replacements: What replaces it, in the concept's order.
    """

    __slots__ = ("caption", "end", "keyword", "replacements", "start")

    def __init__(self, caption: str, keyword: str, start: int, end: int, replacements: tuple[str, ...]) -> None:
        self.caption = caption
        self.keyword = keyword
        self.start = start
        self.end = end
        self.replacements = replacements

    def __len__(self) -> int:
        return 1 + len(self.replacements)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"variant {index} of {len(self)}")
        index %= len(self)
        if index == 0:
            return self.caption
        return self.caption[: self.start] + self.replacements[index - 1] + self.caption[self.end :]

    def __iter__(self) -> Iterator[str]:
        # Sequence's own method asks for one after another, which is several times slower.
        before, after = self.caption[: self.start], self.caption[self.end :]
        return iter([self.caption, *[before + replacement + after for replacement in self.replacements]])

    def __repr__(self) -> str:
        return f"Variants({self.caption!r}, {self.keyword!r} → {len(self.replacements)})"


@dataclass(frozen=True)
class Concept:
    """A set of keywords, each with its replacements.

    Attributes:
        name: The concept's name.
        replacements: Keyword to its replacements. Only these keywords are looked for in captions.
    """

    name: str
    replacements: Mapping[str, tuple[str, ...]]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(f"(?<![^{_SEPARATOR[1:-1]}])(?:{self._words(_SEPARATOR)})(?![^{_SEPARATOR[1:-1]}])")

    @cached_property
    def re2(self) -> str:
        """An expression for RE2, as Arrow has it, that matches the captions with a keyword."""
        return f"(?:^|{_RE2_SEPARATOR})(?:{self._words(_RE2_SEPARATOR)})(?:{_RE2_SEPARATOR}|$)"

    def _words(self, separator: str) -> str:
        # Longest first: where both start, `in front of` is found before `front`.
        keywords = sorted(self.replacements, key=len, reverse=True)
        return "|".join(f"{separator}+".join(map(re.escape, keyword.split())) for keyword in keywords)

    def variants(self, caption: str) -> Variants | None:
        """Replace the leftmost keyword of a caption, in that place only.

        Matching is case-sensitive; plurals are other words; articles are not corrected ("a orange cat").

        Examples:
            >>> from clipbench.concepts import load_concept
            >>> load_concept("location").variants("A cat on the left.")[1]
            'A cat on the right.'

        Returns:
            The caption with its variants, or None if it contains no keyword.
        """
        match = self._pattern.search(caption)
        if match is None:
            return None
        keyword = match.group()
        if keyword not in self.replacements:  # of several words, with other separators between them
            keyword = " ".join(re.split(f"{_SEPARATOR}+", keyword))
        return Variants(caption, keyword, match.start(), match.end(), self.replacements[keyword])

    def matches(self, caption: str) -> bool:
        """Whether a caption contains a keyword."""
        return self._pattern.search(caption) is not None

    def without_keywords(self, keywords: Iterable[str]) -> Concept:
        """The same concept that no longer looks for some keywords; they stay replacements."""
        dropped = set(keywords)
        kept = {word: others for word, others in self.replacements.items() if word not in dropped}
        return Concept(self.name, kept)


def replacement_table(
    mutual: Sequence[str] = (),
    replacements: Mapping[str, Sequence[str]] | None = None,
    replacement_only: Sequence[str] = (),
) -> dict[str, tuple[str, ...]]:
    """Keyword to its replacements, as a concept's YAML file gives them.

    Args:
        mutual: Keywords, each replaceable by any other.
        replacements: Keyword to the list of its replacements.
        replacement_only: Keywords that are never looked for, only put in.

    Examples:
        >>> replacement_table(["a", "b"], {"c": ["a"]}, ["b"])
        {'a': ('b',), 'c': ('a',)}
    """
    table = {word: tuple(other for other in mutual if other != word) for word in mutual}
    for word, others in (replacements or {}).items():
        table[word] = (*table.get(word, ()), *others)
    hidden = frozenset(replacement_only)
    return {word: others for word, others in table.items() if word not in hidden}
