"""The demo model's tokenizer: CLIP's algorithm, trained on the few hundred words of the captions.

Byte-pair encoding over UTF-8 bytes, so every text can be encoded: words of the captions and the paper's keywords as
one token each, other words letter by letter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

_END: Final = "</w>"
_START_OF_TEXT: Final = "<|startoftext|>"
_END_OF_TEXT: Final = "<|endoftext|>"
CONTEXT_LENGTH: Final = 77


def byte_letters() -> list[str]:
    """Printable characters for the 256 bytes, in the order of GPT-2's and CLIP's vocabularies."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in printable]
    return letters + [chr(256 + extra) for extra in range(256 - len(printable))]


def learn_merges(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, until every word of the texts (in ASCII) is one token.

    Ties go to the pair that sorts first, so the result depends only on the set of words.
    """
    words = sorted({word for text in texts for word in re.findall(r"[a-z]+|[0-9]|[^\sa-z0-9]+", text.lower())})
    spellings = [[*word[:-1], word[-1] + _END] for word in words]
    merges: list[tuple[str, str]] = []
    while True:
        counts = Counter(pair for pieces in spellings for pair in pairwise(pieces))
        if not counts:
            return merges
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        spellings = [_merge(pieces, best) for pieces in spellings]


def _merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def build_tokenizer(texts: Iterable[str]) -> CLIPTokenizer:
    """A `transformers` CLIP tokenizer with all words of the texts in its vocabulary.

    As in OpenAI's vocabulary the end-of-text token has the highest id and pads; a text is cut at 77 tokens.
    """
    from transformers import CLIPTokenizer

    merges = learn_merges(texts)
    letters = byte_letters()
    tokens = [*letters, *(letter + _END for letter in letters), *("".join(pair) for pair in merges)]
    vocabulary = {token: number for number, token in enumerate([*tokens, _START_OF_TEXT, _END_OF_TEXT])}
    pairs: Any = merges  # it takes pairs, contrary to its annotation
    return CLIPTokenizer(vocab=vocabulary, merges=pairs, model_max_length=CONTEXT_LENGTH)
