"""Parts of speech and lemmas of a caption's words, by the Hanover Tagger (Wartena 2019), which ships its weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from clipbench.errors import ConfigError
from clipbench.utils.registry import close_matches

# The tags of Universal Dependencies, by the beginnings of the British National Corpus's.
_TAGS: Final = {"NN": "NOUN", "NP": "PROPN", "AJ": "ADJ", "VV": "VERB", "AV": "ADV", "PR": "ADP", "CR": "NUM"}
PARTS_OF_SPEECH: Final = tuple(dict.fromkeys(_TAGS.values()))
_TOKEN = re.compile(r"\w+(?:[-'’]\w+)*|[^\w\s]")
_SUFFIX = re.compile(r"(n['’]t|['’]\w+)$")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a caption.

    Attributes:
        start: Where it starts, in characters.
        end: Where it ends.
        lemma: Its dictionary form, in lower case.
        part: Its part of speech, a name in ``PARTS_OF_SPEECH``; empty for any other.
    """

    start: int
    end: int
    lemma: str
    part: str


class Tagger:
    """Tags English captions.

    Raises:
        ConfigError: The tagger is not installed.
    """

    def __init__(self) -> None:
        try:
            from HanTa.HanoverTagger import HanoverTagger
        except ImportError:
            raise ConfigError("parts of speech need HanTa; run pip install 'clipbench[pos]'") from None
        self._tagger = HanoverTagger("morphmodel_en.pgz")

    def words(self, caption: str) -> list[Word]:
        """The words of a caption, punctuation included, in order."""
        places = [place for match in _TOKEN.finditer(caption) for place in _split(match)]
        if not places:
            return []
        tagged = self._tagger.tag_sent([caption[start:end].replace("’", "'") for start, end in places])
        return [
            Word(start, end, str(lemma).lower(), _TAGS.get(str(tag)[:2], ""))
            for (start, end), (_, lemma, tag) in zip(places, tagged, strict=True)
        ]


def _split(match: re.Match[str]) -> list[tuple[int, int]]:
    """A word and its ``'s`` or ``n't``, which the tagger takes for words of their own."""
    suffix = _SUFFIX.search(match.group())
    if suffix is None or not suffix.start():
        return [match.span()]
    middle = match.start() + suffix.start()
    return [(match.start(), middle), (middle, match.end())]


def check_parts(parts: Sequence[str]) -> None:
    """Refuse unknown parts of speech.

    Raises:
        ConfigError: Names it.
    """
    for part in parts or ("",):
        if part not in PARTS_OF_SPEECH:
            near = close_matches(part.upper(), PARTS_OF_SPEECH)
            raise ConfigError(f"pos {part or '(none)'}{near}: give some of {', '.join(PARTS_OF_SPEECH)}")
