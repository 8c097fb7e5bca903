"""Keyword statistics, against the blind rule that scores tasks and by hand."""

from collections import Counter

import pytest

from clipbench.concepts import Concept
from clipbench.mining.statistics import KeywordCounts, keyword_statistics
from clipbench.task_types.blind import KeywordRules
from clipbench.types import Sample

COLORS = Concept("color", {"red": ("blue", "green"), "blue": ("red", "green"), "green": ("red", "blue")})
ONE_WAY = Concept("size", {"long": ("short",), "big": ("little",), "little": ("big",)})


@pytest.mark.parametrize(
    ("concept", "counts"),
    [
        (COLORS, {"red": 5, "blue": 3, "green": 2}),
        (COLORS, {"red": 3, "blue": 3, "green": 1}),  # without its own image, each of two is the rarer one
        (COLORS, {"red": 4, "blue": 3}),  # 3 against 3: a tie is no win
        (ONE_WAY, {"long": 2, "big": 1, "little": 4}),
        (ONE_WAY, {"long": 1}),
    ],
)
def test_prior_equals_the_blind_rule_of_ranking(concept, counts):
    rules = KeywordRules()
    for word, count in counts.items():
        for number in range(count):
            caption = concept.variants(f"a {word} thing")
            rules.add(Sample(f"{word}{number}", (), caption, word, f"{word}{number}"))
    statistics = keyword_statistics(KeywordCounts(sum(counts.values()), keywords=Counter(counts)), concept)
    scores = rules.scores()
    assert statistics["keyword_prior"] == pytest.approx(scores.shares["keyword_prior"])
    assert statistics["keyword_prior_balanced"] == pytest.approx(scores.balanced["keyword_prior"])


def test_by_hand():
    statistics = keyword_statistics(KeywordCounts(20, 1, 2, Counter(red=5, blue=3, green=2)), COLORS)
    assert statistics["captions"] == 20
    assert statistics["mined"] == 10
    assert statistics["chance"] == pytest.approx(1 / 3)
    assert statistics["keyword_prior"] == 0.5  # the five red ones: 4 others against 3
    assert statistics["keyword_prior_balanced"] == pytest.approx(1 / 3)
    assert statistics["keywords"]["blue"] == {"captions": 3, "share": 0.3, "replacements": 2, "keyword_prior": 0.0}


def test_counts_add_up():
    one, two = KeywordCounts(3, 1, 0, Counter(red=2)), KeywordCounts(4, 0, 1, Counter(red=1, blue=3))
    one.add(two.to_dict())
    assert one.to_dict() == {"captions": 7, "empty": 1, "unreadable": 1, "keywords": {"blue": 3, "red": 3}}
