"""The captions that hold a keyword, and their hard negatives."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from clipbench.concepts import Concept, Variants
from clipbench.mining.statistics import KeywordCounts
from clipbench.training.sampling import Uniforms, distinct

if TYPE_CHECKING:
    import pyarrow as pa

NEW_COLUMNS: Final = ("keyword", "neg_caption")
"""What mining adds to a caption: its keyword, and the list of its hard negatives."""


class CaptionMiner:
    """Finds keywords in captions and draws hard negatives.

    The draw for a caption is a function of the seed and its text, so it depends neither on how a collection is cut
    into shards nor on which process mines what. Equal captions have equal negatives.

    Args:
        concept: The concept.
        negatives: Hard negatives per caption, at most; None: all.
        seed: Of the draws.

    Attributes:
        counts: Counts over the captions so far.
    """

    def __init__(self, concept: Concept, negatives: int | None, seed: int) -> None:
        self._concept, self._seed = concept, seed.to_bytes(8, "little")
        self._most = None if negatives is None else min(negatives, max(map(len, concept.replacements.values())))
        self.counts = KeywordCounts()

    def mine(self, captions: Sequence[str | None]) -> tuple[list[int], list[str], list[list[str]]]:
        """Mine some captions.

        Returns:
            For each caption with a keyword: its index in ``captions``, the keyword, and the hard negatives.
        """
        self.counts.captions += len(captions)
        self.counts.empty += sum(not caption for caption in captions)
        return self._mined(captions)

    def mine_column(self, column: pa.Array) -> tuple[list[int], list[str], list[list[str]]]:
        """The same for a column of texts: faster, as Arrow finds the captions with a keyword.

        Returns:
            As ``mine``.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            found = pc.fill_null(pc.match_substring_regex(column, self._concept.re2), False)
        except pa.ArrowInvalid:  # too many keywords for one expression
            return self.mine(column.to_pylist())
        self.counts.captions += len(column)
        self.counts.empty += len(column) - (pc.sum(pc.greater(pc.binary_length(column), 0)).as_py() or 0)
        places = found.to_numpy(zero_copy_only=False).nonzero()[0]
        rows, keywords, negatives = self._mined(column.take(pa.array(places)).to_pylist())
        return places[rows].tolist(), keywords, negatives

    def _mined(self, captions: Sequence[str | None]) -> tuple[list[int], list[str], list[list[str]]]:
        variants = self._concept.variants
        rows: list[int] = []
        entries: list[Variants] = []
        for index, caption in enumerate(captions):
            if caption and (entry := variants(caption)) is not None:
                rows.append(index)
                entries.append(entry)
        keywords = [entry.keyword for entry in entries]
        self.counts.keywords.update(keywords)
        return rows, keywords, self._drawn(entries)

    def _drawn(self, entries: Sequence[Variants]) -> list[list[str]]:
        if self._most is None or not entries:
            return [entry[1:] for entry in entries]
        options = np.array([len(entry.replacements) for entry in entries], dtype=np.int64)
        uniforms, drawn = self._uniforms(entries, self._most), np.minimum(options, self._most)
        picks = np.full(uniforms.shape, -1, dtype=np.int64)  # -1 where a keyword has fewer replacements
        for count in np.unique(drawn):
            some = drawn == count
            picks[some, :count] = distinct(uniforms[some][:, :count], options[some])
        places = cast("list[list[int]]", picks.tolist())
        return [_texts(entry, row) for entry, row in zip(entries, places, strict=True)]

    def _uniforms(self, entries: Sequence[Variants], width: int) -> Uniforms:
        """``(captions, width)`` in [0, 1)."""
        texts = (self._seed + entry.caption.encode(errors="surrogatepass") for entry in entries)
        words = np.frombuffer(b"".join(hashlib.shake_128(text).digest(8 * width) for text in texts), dtype="<u8")
        uniforms: Uniforms = ((words >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(-1, width)
        return uniforms


def _texts(entry: Variants, picks: Sequence[int]) -> list[str]:
    """``entry[1 + pick]`` for each pick that is not -1, several times faster."""
    before, after, replacements = entry.caption[: entry.start], entry.caption[entry.end :], entry.replacements
    return [before + replacements[pick] + after for pick in picks if pick >= 0]
