"""Replacements drawn so that each keyword is as often wrong as right."""

import math
from collections import Counter

import numpy as np
import pytest

from clipbench.concepts import Concept, load_concept
from clipbench.errors import DataError
from clipbench.training.negatives import ExchangedKeywords, MatchedKeywords, label_dependence
from tests.training.table import write_table

BUILT_IN = {name: load_concept(name) for name in ("object", "color", "location", "size")}
ABC = Concept("abc", {word: tuple(other for other in "abc" if other != word) for word in "abc"})
# c is wrong for a but never right; d is right but never wrong; e and f go in a circle with g.
ONE_WAY = Concept("way", {"a": ("b", "c"), "b": ("a",), "d": ("a",), "e": ("f",), "f": ("g",), "g": ("e",)})


def negatives_of(concepts, counts, k=1, kind=MatchedKeywords):
    """Captions with so many of each keyword, in a mixed order; a tuple of words holds one of each concept."""
    concepts = concepts if isinstance(concepts, list) else [concepts]
    captions = [f"x {words} y" for words, count in counts.items() for _ in range(count)]
    order = np.random.default_rng(1).permutation(len(captions))
    variants = [tuple(v for c in concepts if (v := c.variants(captions[n])) is not None) for n in order]
    return kind(variants, k)


def tally(negatives, drawn):
    """Weighted counts of each word, right and wrong, from the texts themselves."""
    rows = np.arange(len(negatives.variants))
    texts, valid = negatives.texts(rows, drawn.picks)
    right, wrong = Counter(), Counter()
    for row in rows:
        variants = negatives.variants[row][drawn.picks[row, 0]]
        weight = 1 if drawn.weights is None else drawn.weights[row]
        mine = texts[row * negatives.k : (row + 1) * negatives.k]
        there = [text for text, ok in zip(mine, valid[row], strict=True) if ok]
        assert len({*there, variants.caption}) == 1 + len(there)
        assert all(text == variants.caption for text, ok in zip(mine, valid[row], strict=True) if not ok)
        for text in there:
            end = len(variants.caption) - variants.end
            right[variants.keyword] += weight
            wrong[text[variants.start : len(text) - end]] += weight
    return right, wrong


def zipf(words, most=400):
    return {word: max(1, most // (rank + 1)) for rank, word in enumerate(words)}


CASES = {
    "even": (ABC, {"a": 5, "b": 5, "c": 5}, 1, True),
    "uneven": (ABC, {"a": 50, "b": 30, "c": 21}, 1, True),
    "just half": (ABC, {"a": 51, "b": 30, "c": 21}, 1, True),
    "colors": (BUILT_IN["color"], zipf(BUILT_IN["color"].replacements), 1, True),
    "several": (BUILT_IN["color"], zipf(BUILT_IN["color"].replacements, 100) | {"blue": 60}, 3, True),
    # blue would have to be wrong 600 times, and there are 364 other captions.
    "too many": (BUILT_IN["color"], zipf(BUILT_IN["color"].replacements, 200), 3, False),
    "objects": (BUILT_IN["object"], zipf(BUILT_IN["object"].replacements), 1, True),
    "more than half": (BUILT_IN["object"], {"dog": 570, "cat": 200, "car": 130, "bench": 99, "clock": 1}, 1, False),
    "more than half, several": (BUILT_IN["color"], {"white": 900, "red": 60, "blue": 40, "gray": 3}, 2, False),
    "two ways": (BUILT_IN["location"], {"left": 90, "right": 10, "above": 7, "below": 7}, 1, False),
    "sizes": (BUILT_IN["size"], {"large": 300, "small": 120, "little": 50, "big": 70, "tall": 3, "short": 9, "long": 40,
                                 "huge": 5, "tiny": 2, "giant": 1}, 1, False),
    "one way": (ONE_WAY, {"a": 12, "b": 10, "d": 5, "e": 3, "f": 4, "g": 5}, 1, False),
    "few": (ABC, {"a": 9, "b": 1, "c": 1}, 1, False),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_over_an_epoch_every_keyword_is_as_often_wrong_as_right(name):
    concept, counts, k, unweighted = CASES[name]
    negatives = negatives_of(concept, counts, k)
    for epoch in range(4):
        drawn = negatives.draw(3, epoch)
        right, wrong = tally(negatives, drawn)
        assert right
        if unweighted:
            assert drawn.weights is None
            assert right == wrong == {word: k * count for word, count in counts.items()}
        else:
            assert drawn.weights.mean() == pytest.approx(1)
            assert drawn.weights.min() > 0
            assert {word: pytest.approx(mass, rel=1e-9) for word, mass in right.items()} == wrong
        assert label_dependence(negatives, drawn) < 1e-12


def test_captions_of_two_ways_are_weighted_by_inverse_frequency():
    negatives = negatives_of(BUILT_IN["location"], {"left": 90, "right": 10})
    drawn = negatives.draw(0, 0)
    weights = {entry[0].keyword: weight for entry, weight in zip(negatives.variants, drawn.weights, strict=True)}
    assert weights == {"left": pytest.approx(100 / 2 / 90), "right": pytest.approx(100 / 2 / 10)}


def test_what_cannot_be_balanced_has_no_hard_negative():
    negatives = negatives_of(ONE_WAY, {"a": 6, "b": 6, "d": 3})
    drawn = negatives.draw(0, 0)
    right, wrong = tally(negatives, drawn)
    assert right == wrong == {"a": 6, "b": 6}  # never c, which is never right
    assert [entry[0].keyword == "d" for entry in negatives.variants] == (drawn.picks[:, 1] < 0).tolist()
    nothing = negatives_of(BUILT_IN["location"], {"left": 5})
    assert (nothing.draw(0, 0).picks[:, 1] == -1).all()


def test_a_word_of_two_concepts_stays_within_each():
    concepts = [BUILT_IN["object"], BUILT_IN["color"]]
    counts = {"orange": 4, "red": 8, "blue": 6, "apple": 9, "banana": 7, "cat and white": 5}
    negatives = negatives_of(concepts, counts)
    drawn = negatives.draw(0, 1)
    right, wrong = tally(negatives, drawn)
    assert {word: pytest.approx(mass) for word, mass in right.items()} == wrong
    for row, pick in enumerate(drawn.picks.tolist()):
        text = negatives.variants[row][pick[0]]
        assert pick[1] < 0 or (text.keyword in BUILT_IN["color"].replacements) == (
            text.replacements[pick[1]] in BUILT_IN["color"].replacements
        ) or "orange" in (text.keyword, text.replacements[pick[1]])  # fmt: skip


def test_draws_are_functions_of_seed_and_epoch_and_differ():
    negatives = negatives_of(BUILT_IN["color"], zipf(BUILT_IN["color"].replacements, 60))
    again = negatives_of(BUILT_IN["color"], zipf(BUILT_IN["color"].replacements, 60))
    first = negatives.draw(1, 2).picks
    assert np.array_equal(first, again.draw(1, 2).picks)
    for seed, epoch in ((1, 3), (2, 2)):
        assert (negatives.draw(seed, epoch).picks != first).any(axis=1).mean() > 0.3


def test_replacements_are_as_even_as_the_counts_allow():
    """With equal counts every exchange is as frequent as any other."""
    negatives = negatives_of(ABC, {"a": 40, "b": 40, "c": 40})
    exchanges = Counter()
    for epoch in range(5):
        for row, (_, pick) in enumerate(negatives.draw(0, epoch).picks.tolist()):
            variants = negatives.variants[row][0]
            exchanges[variants.keyword, variants.replacements[pick]] += 1
    assert exchanges == {(a, b): 100 for a in "abc" for b in "abc" if a != b}


def test_dependence_is_the_mutual_information():
    """By hand: left is right 3 times and wrong once, right the other way round: 1 − H(1/4) bits."""
    negatives = negatives_of(BUILT_IN["location"], {"left": 3, "right": 1}, kind=ExchangedKeywords)
    entropy = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert label_dependence(negatives, negatives.draw(0, 0)) == pytest.approx(1 - entropy)
    only = negatives_of(BUILT_IN["location"], {"left": 3}, kind=ExchangedKeywords)
    assert label_dependence(only, only.draw(0, 0)) == pytest.approx(1)


def test_matched_removes_what_uniform_draws_say_of_the_label():
    counts = zipf(BUILT_IN["color"].replacements, 300)
    uniform = negatives_of(BUILT_IN["color"], counts, kind=ExchangedKeywords)
    assert label_dependence(uniform, uniform.draw(0, 0)) > 0.1


def test_some_captions_keep_the_kind_of_draw():
    negatives = negatives_of(ABC, {"a": 5, "b": 5, "c": 5})
    assert isinstance(negatives.kept([0, 2, 3]), MatchedKeywords)
    assert negatives.identity(0) != ExchangedKeywords(negatives.variants, 1).identity(0)


@pytest.mark.parametrize("weighted", [False, True])
def test_training_matches_replacements_and_records_the_dependence(start, tmp_path, weighted):
    captions = ["a cat on the left"] * (2 + weighted) + ["a dog on the right"] * 2 + ["a huge car below"]
    data = write_table(tmp_path / "data", captions=captions)
    run = start(tmp_path / "run", data=data, concepts=("location",), replacement_sampling="matched", batch_size=2)
    facts = run.setup.facts["data"]["keyword_label_bits"]
    assert facts["matched"] == 0
    assert facts["uniform"] > 0
    assert any("mutual information of keyword and label" in note for note in run.notes)
    assert any("1 caption without hard negatives" in note for note in run.notes)
    assert (run.setup.batches.make(0).weights is not None) == weighted
    assert all(np.isfinite(event.loss) for event in run.run() if hasattr(event, "loss"))


def test_training_without_anything_to_match_is_refused(start, tmp_path):
    data = write_table(tmp_path / "data", captions=["a cat on the left"] * 3)
    with pytest.raises(DataError, match=r"no keyword in the captions is a replacement of another one"):
        start(tmp_path / "run", data=data, concepts=("location",), replacement_sampling="matched", batch_size=2)


def test_uniform_replacements_record_it_too(start, tmp_path):
    facts = start(tmp_path).setup.facts["data"]["keyword_label_bits"]
    assert list(facts) == ["uniform"]
    assert 0 <= facts["uniform"] <= 1
