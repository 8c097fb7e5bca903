"""How far people agree: kappa on accepting pairs and on using photographs, and how much captions differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from clipbench.annotate.records import DONE, SKIPPED, Pair
from clipbench.utils.text import pluralize

Ratings = Mapping[str, bool]  # of one item: who said what


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement beyond chance on a yes-or-no question.

    Attributes:
        name: ``Cohen's`` for two raters, ``Fleiss'`` for more.
        raters: How many people have rated.
        items: Items with two ratings or more; the others say nothing.
        agreement: The share of pairs of raters that agree, averaged over items; None without items.
        kappa: (agreement − chance) / (1 − chance); None where chance alone would agree always.
    """

    name: str
    raters: int
    items: int
    agreement: float | None
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of a set.

    Attributes:
        reviews: On accepting pairs; a fixed caption counts as accepted.
        photographs: On using photographs, where several annotators get each.
        fixes: Words that a reviewer changed in a caption, for every caption that was accepted or fixed.
        captions: Words in which the new captions of two annotators of a photograph differ.
    """

    reviews: Kappa
    photographs: Kappa
    fixes: tuple[int, ...]
    captions: tuple[int, ...]

    def lines(self) -> list[tuple[str, str]]:
        """Label and value of each figure that there is."""
        found = []
        for label, one in (("accepting pairs", self.reviews), ("using photographs", self.photographs)):
            if one.items:
                found.append((f"{one.name} kappa on {label}", _kappa_text(one)))
        for label, distances in (
            ("Caption edit distance, reviewers", self.fixes),
            ("Caption edit distance, annotators", self.captions),
        ):
            if distances:
                mean = sum(distances) / len(distances)
                found.append((label, f"{mean:.2f} words (mean of {len(distances):,})"))
        return found


def measure_agreement(pairs: Iterable[Pair]) -> Agreement:
    """Agreement on the pairs of a set."""
    pairs = list(pairs)
    reviews = [
        {review.reviewer: review.decision != "reject" for review in pair.reviews} for pair in pairs if pair.step == DONE
    ]
    used: dict[str, dict[str, bool]] = defaultdict(dict)
    made: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        if pair.origin == "person" and pair.step in (DONE, SKIPPED):
            used[pair.photograph.id][pair.annotator] = pair.step == DONE
            if pair.step == DONE:
                made[pair.photograph.id].append(pair.new_caption)
    fixes = [
        word_distance(pair.new_caption, review.caption or pair.new_caption)
        for pair in pairs
        for review in pair.reviews
        if review.decision != "reject"
    ]
    captions = [word_distance(one, other) for texts in made.values() for one, other in combinations(texts, 2)]
    return Agreement(kappa(reviews), kappa(list(used.values())), tuple(fixes), tuple(captions))


def kappa(items: Sequence[Ratings]) -> Kappa:
    """Cohen's kappa if two people have rated, Fleiss' if more; only items with two ratings or more count.

    Cohen's chance has each rater's own share of yes, Fleiss' that of all ratings together. Items may have different
    numbers of ratings: an item's agreement is that of its pairs of raters (Fleiss 1971, eq. 2, with its own n).
    """
    rated = [item for item in items if len(item) > 1]
    raters = sorted({name for item in rated for name in item})
    name = "Cohen's" if len(raters) <= 2 else "Fleiss'"
    if not rated:
        return Kappa(name, 0, 0, None, None)
    agreement = sum(_agreeing(item) for item in rated) / len(rated)
    if len(raters) == 2:
        first, second = (sum(item[rater] for item in rated) / len(rated) for rater in raters)
        chance = first * second + (1 - first) * (1 - second)
    else:
        votes = [vote for item in rated for vote in item.values()]
        share = sum(votes) / len(votes)
        chance = share**2 + (1 - share) ** 2
    return Kappa(name, len(raters), len(rated), agreement, None if chance == 1 else (agreement - chance) / (1 - chance))


def word_distance(one: str, other: str) -> int:
    """Levenshtein distance in words: the fewest insertions, deletions and exchanges.

    Examples:
        >>> word_distance("a white cat", "a big brown cat")
        2
    """
    left, right = one.split(), other.split()
    row = list(range(len(right) + 1))
    for number, word in enumerate(left, 1):
        before, row[0] = row[0], number
        for place, against in enumerate(right, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != against))
    return row[-1]


def _agreeing(item: Ratings) -> float:
    """The share of pairs of raters that agree."""
    yes, count = sum(item.values()), len(item)
    no = count - yes
    return (yes * (yes - 1) + no * (no - 1)) / (count * (count - 1))


def _kappa_text(one: Kappa) -> str:
    value = "undefined, as all say the same" if one.kappa is None else f"{one.kappa:.2f}"
    return f"{value} ({one.agreement:.0%} agree; {pluralize(one.raters, 'rater')}, {pluralize(one.items, 'item')})"
