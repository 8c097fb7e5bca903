"""Blind baselines: what can be scored without the image, by rules that only see the texts of a task.

A rule ranks a sample's texts by what it knows from the texts of *other* images: the texts of the sample's own image are
never counted. It wins if the true text alone is at the top; as for a model, a tie is not a win. Rules take the samples
one by one, keep a few bytes of each, and decide at the end.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from clipbench.concepts import Variants
from clipbench.task_types.other_images import Flags, Ints, OtherImages, numbered
from clipbench.types import Sample
from clipbench.utils.columns import CodeColumn, HashColumn

Numbers = npt.NDArray[np.float64]

_AT_ONCE = 1 << 16  # candidates compared at once: a few megabytes
_DIGITS = 9  # log 2 + log 6 and log 3 + log 4 are equal, though not in their last bits: a tie
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class BlindScores:
    """What rules reach without looking at an image.

    Attributes:
        shares: Rule to the share of samples that it has right.
        balanced: Rule to the mean of that share over groups of samples, with equal weights. In rankings a group is a
            keyword, so that the frequency of keywords is worth nothing.
    """

    shares: Mapping[str, float]
    balanced: Mapping[str, float]


class BlindRules(ABC):
    """Named rules that are applied to a task's samples without looking at an image."""

    def __init__(self) -> None:
        self._groups = CodeColumn()

    @abstractmethod
    def add(self, sample: Sample) -> None:
        """Add one sample; subclasses call this for each sample that ``wins`` decides on."""
        self._groups.append(sample.group)

    @abstractmethod
    def wins(self) -> dict[str, Flags]:
        """For each rule, by name, which of the added samples it has right, ``(N,)``."""

    def scores(self) -> BlindScores:
        """What each rule reaches on the added samples; empty if there are none."""
        if not len(self._groups):
            return BlindScores({}, {})
        decided = self.wins()
        groups = self._groups.numbers()
        sizes = np.bincount(groups)
        return BlindScores(
            {rule: float(wins.mean()) for rule, wins in decided.items()},
            {rule: math.fsum(np.bincount(groups, wins) / sizes) / len(sizes) for rule, wins in decided.items()},
        )


class KeywordRules(BlindRules):
    """Rules for a caption against its variants with the keyword replaced.

    * ``keyword_prior``: the candidate that is the keyword of the most captions of other images.
    * ``context_prior``: the most probable candidate given the word before and the word after,
      ``P(k | before) · P(k | after) / P(k)``. The conditionals are counts over captions of other images, to which the
      keyword prior is added as one further count: next to an unseen word, the prior decides.
    """

    def __init__(self) -> None:
        super().__init__()
        self._candidates: dict[tuple[str, ...], int] = {}
        self._latest: dict[str, tuple[tuple[str, ...], int]] = {}  # by keyword, replacements and number of the set
        # For each sample: its set of candidates, its image, the word before and the word after.
        self._sets, self._clusters, self._before, self._after = CodeColumn(), HashColumn(), HashColumn(), HashColumn()

    def add(self, sample: Sample) -> None:
        """Add one sample; texts that are not ``Variants`` of a caption are ignored."""
        texts = sample.texts
        if not isinstance(texts, Variants) or not texts.replacements:
            return
        super().add(sample)
        self._sets.append(self._number(texts))
        self._clusters.append(sample.cluster)
        before, after = texts.caption[: texts.start].rsplit(None, 1), texts.caption[texts.end :].split(None, 1)
        self._before.append(before[-1].lower() if before else "")
        self._after.append(after[0].lower() if after else "")

    def _number(self, texts: Variants) -> int:
        """The number of a set of candidates."""
        keyword, replacements = texts.keyword, texts.replacements
        others, number = self._latest.get(keyword, ((), 0))
        if others is not replacements:  # else they need not be hashed: a concept may have a hundred
            number = self._candidates.setdefault((keyword, *replacements), len(self._candidates))
            self._latest[keyword] = replacements, number
        return number

    def wins(self) -> dict[str, Flags]:
        """The wins of ``keyword_prior`` and ``context_prior``."""
        numbers: dict[str, int] = {}
        sets = [[numbers.setdefault(word, len(numbers)) for word in words] for words in self._candidates]
        set_of, images = self._sets.numbers(), self._clusters.numbers()
        keywords = np.array([words[0] for words in sets], dtype=np.int32)[set_of]
        alike = np.broadcast_to(np.int32(0), len(keywords))
        contexts = alike, self._before.numbers(), self._after.numbers()
        counts = [OtherImages(images, context, keywords) for context in contexts]
        found: dict[str, list[Flags]] = {"keyword_prior": [], "context_prior": []}
        for samples, candidates, starts in _competitions(sets, set_of):
            prior, before, after = (
                count.of(images[samples], context[samples], candidates)
                for count, context in zip(counts, contexts, strict=True)
            )
            is_true = _marked(starts, len(candidates))
            found["keyword_prior"].append(true_wins(prior, is_true, starts))
            share = prior + 1.0  # a keyword that was never seen would have probability 0 / 0
            share /= np.repeat(np.add.reduceat(share, starts), np.diff(starts, append=len(share)))
            likely = (before + share) * (after + share) / share
            found["context_prior"].append(true_wins(likely, is_true, starts))
        return {rule: np.concatenate([*parts, np.zeros(0, np.bool_)]) for rule, parts in found.items()}


class TextRules(BlindRules):
    """Rules for any competing texts; if several are true, all of them must win.

    * ``longest_text``, ``shortest_text``: by characters.
    * ``word_frequency``: the text whose words are most frequent in true texts of other images, by the mean of
      ``log(1 + count)`` over its words.
    * ``word_pair_frequency``: the same for each word following the one before it, so that word order matters.
    """

    def __init__(self) -> None:
        super().__init__()
        # For each sample: its image, the number of its texts, and how many of these are true.
        self._images, self._texts, self._true = HashColumn(), array("q"), array("q")
        self._lengths, self._sizes = array("q"), array("q")  # of each text, in characters and in words
        self._words = array("q")  # hashes of the words of all texts

    def add(self, sample: Sample) -> None:
        """Add one sample."""
        super().add(sample)
        texts = list(sample.texts)
        self._images.append(sample.cluster)
        self._texts.append(len(texts))
        self._true.append(sample.true_texts)
        self._lengths.extend(map(len, texts))
        words = [_WORD.findall(text.lower()) for text in texts]
        self._sizes.extend(map(len, words))
        self._words.extend(map(hash, chain.from_iterable(words)))

    def wins(self) -> dict[str, Flags]:
        """The wins of all four rules."""
        counts = np.array(self._texts, dtype=np.int64)
        starts = np.cumsum(counts) - counts
        is_true = np.arange(counts.sum()) < np.repeat(starts + np.array(self._true, dtype=np.int64), counts)
        lengths = np.array(self._lengths, dtype=np.int64)
        scores: dict[str, Ints | Numbers] = {"longest_text": lengths, "shortest_text": -lengths}
        images = np.repeat(self._images.numbers(), counts)
        scores["word_frequency"] = self._frequencies(images, is_true, paired=False)
        scores["word_pair_frequency"] = self._frequencies(images, is_true, paired=True)
        return {rule: true_wins(values, is_true, starts) for rule, values in scores.items()}

    def _frequencies(self, images: Ints, is_true: Flags, *, paired: bool) -> Numbers:
        """The mean of ``log(1 + count)`` over the words of each text, 0 for a text without words.

        Args:
            images: The image of each text, ``(M,)``.
            is_true: Which texts are true, ``(M,)``.
            paired: Count each word in the context of the word before it; the first word has a context of its own.
        """
        sizes, words = np.array(self._sizes, dtype=np.int64), numbered(self._words)
        texts = np.repeat(np.arange(len(sizes)), sizes)
        counted, contexts = is_true[texts], np.zeros_like(words)
        if paired:
            contexts[1:] = np.where(texts[1:] == texts[:-1], words[:-1] + 1, 0)
        counts = OtherImages(images[texts][counted], contexts[counted], words[counted])
        logs = np.log1p(counts.of(images[texts], contexts, words))
        order = np.lexsort((logs, texts))  # so that texts with the same words tie exactly, whatever the word order
        means = np.bincount(texts, weights=logs[order], minlength=len(sizes)) / np.maximum(sizes, 1)
        return np.round(means, _DIGITS)


def true_wins(scores: Ints | Numbers, is_true: Flags, starts: Ints) -> Flags:
    """Which competitions the true texts win, because each of them scores higher than every other text.

    Args:
        scores: The scores of the texts of all competitions, ``(M,)``.
        is_true: Which texts are true, ``(M,)``.
        starts: Where each competition starts, ``(N,)``; none is empty.

    Examples:
        >>> true_wins(np.array([2, 1, 1, 1, 3]), np.array([True, False, True, False, False]), np.array([0, 2]))
        array([ True, False])
    """
    if not len(starts):
        return np.zeros(0, np.bool_)
    values = scores.astype(np.float64)
    worst_true = np.minimum.reduceat(np.where(is_true, values, np.inf), starts)
    best_other = np.maximum.reduceat(np.where(is_true, -np.inf, values), starts)
    wins: Flags = worst_true > best_other
    return wins


def _competitions(sets: Sequence[Sequence[int]], set_of: Ints) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Yield the candidates of many samples at once.

    Yields:
        The sample of each candidate ``(M,)``, the candidates ``(M,)``, and where each sample's candidates start.
    """
    flat = np.fromiter(chain.from_iterable(sets), np.int64)
    sizes = np.array([len(words) for words in sets], dtype=np.int64)
    firsts = np.cumsum(sizes) - sizes
    step = max(1, _AT_ONCE // int(sizes.max(initial=1)))
    for begin in range(0, len(set_of), step):
        some = set_of[begin : begin + step]
        starts = np.cumsum(sizes[some]) - sizes[some]
        samples = np.repeat(np.arange(begin, begin + len(some)), sizes[some])
        places = np.arange(len(samples)) - np.repeat(starts - firsts[some], sizes[some])
        yield samples, flat[places], starts


def _marked(places: Ints, length: int) -> Flags:
    marks = np.zeros(length, np.bool_)
    marks[places] = True
    return marks
