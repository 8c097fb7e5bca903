"""Agreement figures against tables worked out by hand."""

import pytest

from clipbench.annotate.agreement import kappa, measure_agreement, word_distance
from clipbench.annotate.review import Reviewer
from clipbench.annotate.session import Session
from tests.annotate.builders import finish, make_set


def votes(*columns):
    """Items from one string a rater: ``y``, ``n``, or ``.`` for no vote."""
    rows = zip(*columns, strict=True)
    return [{str(rater): vote == "y" for rater, vote in enumerate(row) if vote != "."} for row in rows]


def test_cohens_kappa_by_hand():
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: p_o = 35/50; p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    first = "y" * 20 + "y" * 5 + "n" * 10 + "n" * 15
    second = "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15
    found = kappa(votes(first, second))
    assert (found.name, found.raters, found.items) == ("Cohen's", 2, 50)
    assert found.agreement == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)


def test_fleiss_kappa_by_hand():
    # Yes votes of three raters on four items: 3, 2, 1, 0. P_i: 1, 1/3, 1/3, 1; mean 2/3; share of yes 1/2.
    found = kappa(votes("yyyn", "yynn", "ynnn"))
    assert (found.name, found.raters, found.items) == ("Fleiss'", 3, 4)
    assert found.agreement == pytest.approx(2 / 3)
    assert found.kappa == pytest.approx((2 / 3 - 1 / 2) / (1 / 2))


def test_items_with_one_vote_do_not_count():
    assert kappa(votes("yyn", "yn.")) == kappa(votes("yy", "yn"))


def test_agreement_by_chance_alone_and_no_items():
    assert kappa(votes("yyy", "yyy")).kappa is None
    assert kappa(votes("yyy", "yyy")).agreement == 1
    assert kappa([]).agreement is None
    assert kappa(votes("yn", "ny")).kappa == pytest.approx(-1)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("a b c", "", 3), ("a b c", "a c", 1), ("a b", "b a", 2), ("the red bus", "a big red car", 3)],
)
def test_word_distance(one, other, distance):
    assert word_distance(one, other) == word_distance(other, one) == distance


def test_of_a_set(tmp_path):
    with make_set(tmp_path, annotators_per_photograph=2) as store:
        anna, bert = Session(store, "Anna"), Session(store, "Bert")
        for _ in range(2):
            finish(anna)
        anna.skip(anna.next().id)
        finish(bert)
        bert.skip(bert.next().id)
        bert.skip(bert.next().id)
        pairs = anna.pairs()
        carl, dora = Reviewer(store, "Carl"), Reviewer(store, "Dora")
        carl.review(pairs[0].id, "accept")
        dora.review(pairs[0].id, "accept", pairs[0].new_caption.replace("black cat", "big black tomcat"))
        carl.review(pairs[1].id, "accept")
        dora.review(pairs[1].id, "reject")
        with store.transaction() as db:
            from clipbench.annotate.reading import read_pairs

            found = measure_agreement(read_pairs(db))
    assert (found.reviews.items, found.reviews.agreement, found.reviews.kappa) == (2, 0.5, 0)
    # Anna: use, use, skip; Bert: use, skip, skip. p_o = 2/3; p_e = 2/3 * 1/3 + 1/3 * 2/3 = 4/9.
    assert found.photographs.kappa == pytest.approx((2 / 3 - 4 / 9) / (5 / 9))
    assert sorted(found.fixes) == [0, 0, 2]
    assert found.captions == (0,)
    assert [label for label, _ in found.lines()] == [
        "Cohen's kappa on accepting pairs", "Cohen's kappa on using photographs",
        "Caption edit distance, reviewers", "Caption edit distance, annotators",
    ]  # fmt: skip
