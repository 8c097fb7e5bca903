"""Every way to judge, on matrices worked out by hand."""

import tracemalloc

import numpy as np
import pytest

from clipbench.concepts import load_concept
from clipbench.data import Dataset
from clipbench.errors import DataError
from clipbench.task_types import PairsTask, RankingTask, RetrievalTask, retrieval
from clipbench.types import ImageRef, Row, Sample

DATA = Dataset("toy", None)


class Ranking(RankingTask):
    name = "toy_color"
    dataset = DATA
    concept = "color"


class Pairs(PairsTask):
    name = "toy_pairs"
    dataset = DATA


class Retrieval(RetrievalTask):
    name = "toy_retrieval"
    dataset = DATA


def ref(key):
    return ImageRef(key, lambda: None)


PAIR = Sample("p", (ref("a"), ref("b")), ["one", "two"], "g", "a")


@pytest.mark.parametrize(
    ("matrix", "image", "text", "tied"),
    [
        ([[0.9, 0.1], [0.2, 0.8]], 1, 1, False),
        ([[0.5, 0.1], [0.6, 0.8]], 0, 1, False),  # caption one prefers the other image
        ([[0.9, 0.7], [0.2, 0.3]], 0, 1, False),  # caption two prefers the other image
        ([[0.5, 0.6], [0.2, 0.8]], 1, 0, False),  # image a prefers the other caption
        ([[0.3, 0.1], [0.2, 0.15]], 1, 0, False),  # image b prefers the other caption
        ([[0.5, 0.1], [0.5, 0.8]], 0, 1, True),  # equal: no win
        ([[0.5, 0.9], [0.5, 0.1]], 0, 0, False),  # equal, but lost all the same
        ([[0.5, 0.5], [0.5, 0.5]], 0, 0, True),
        ([[0.1, 0.9], [0.8, 0.2]], 0, 0, False),
        ([[0.5, 0.5], [0.7, 0.7]], 0, 0, True),  # the captions look the same, so no image can win
    ],
)
def test_equation_1_and_the_other_two_scores(matrix, image, text, tied):
    outcome = Pairs().score_sample(PAIR, np.float32(matrix))
    assert outcome.values == {"acc": image, "text_acc": text, "group_acc": image * text}
    assert outcome.tied == tied
    np.testing.assert_array_equal(np.float32(outcome.record["scores"]), np.float32(matrix))


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["", "two"], "empty caption"),
        (["one", " "], "empty caption"),
        (["same", "same "], "both captions are the same"),
        (["x", "two"], None),
    ],
)
def test_pairs_that_cannot_be_judged(texts, why):
    assert Pairs().invalid_reason(Sample("p", (ref("a"), ref("b")), texts, "g", "a")) == why


@pytest.mark.parametrize(("first", "acc", "tied"), [(0.9, 1, False), (0.5, 0, True), (0.4, 0, False)])
def test_ranking_asks_for_more_than_all_others(first, acc, tied):
    variants = load_concept("color").variants("a white cat")
    sample = Sample("r", (ref("a"),), variants, variants.keyword, "a")
    scores = np.float32([[first, 0.5, 0.1, 0.2, 0.3, 0.1, 0.1, 0.1, 0.1]])
    outcome = Ranking().score_sample(sample, scores)
    assert (outcome.values, outcome.tied, outcome.group) == ({"acc": acc}, tied, "white")
    assert outcome.record["texts"] == list(variants)
    assert outcome.record["texts"][0] == "a white cat"
    assert outcome.record["scores"] == scores[0].tolist()


def test_retrieval_by_hand():
    # Images e1, e2, e3. Captions, two for the first: e1, e2-ish, e2, e1-ish.
    images = np.float32([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    texts = np.float32([[1, 0, 0], [0.6, 0.8, 0], [0, 1, 0], [0.8, 0.6, 0]])
    owners = np.array([0, 0, 1, 2])
    samples = [
        Sample("a", (ref("a"),), ["a0", "a1"], "g", "a"),
        Sample("b", (ref("b"),), ["b0"], "g", "b"),
        Sample("c", (ref("c"),), ["c0"], "g", "c"),
    ]
    outcomes = {outcome.sample_id: outcome for outcome in Retrieval().score_all(samples, images, texts, owners)}
    ranks = {name: outcome.record["rank"] for name, outcome in outcomes.items()}
    # c0 has nothing in common with its image: both others lie ahead. For image c all captions score 0, and
    # ties are put ahead of its own.
    assert ranks == {"i2t:a": 1, "i2t:b": 1, "i2t:c": 4, "t2i:a#0": 1, "t2i:a#1": 2, "t2i:b#0": 1, "t2i:c#0": 3}
    assert [name for name, outcome in outcomes.items() if outcome.tied] == ["i2t:c"]
    assert outcomes["t2i:a#1"].values == {"t2i_recall@1": 0, "t2i_recall@5": 1, "t2i_recall@10": 1}
    assert outcomes["t2i:a#1"].cluster == outcomes["i2t:a"].cluster == "a"
    assert outcomes["t2i:a#1"].record["texts"] == ["a1"]
    np.testing.assert_allclose(outcomes["i2t:a"].record["scores"], [1, 0.6], rtol=1e-6)


def test_chance_follows_from_what_there_is_to_choose_from():
    outcomes = list(
        Retrieval().score_all(
            [Sample(f"{n}", (ref(f"{n}"),), [f"{n}"], "g", f"{n}") for n in range(20)],
            np.eye(20, dtype=np.float32),
            np.eye(20, dtype=np.float32),
            np.arange(20),
        )
    )
    assert {outcome.chance for outcome in outcomes} == {5 / 20}
    assert Pairs().score_sample(PAIR, np.zeros((2, 2), np.float32)).chance == 1 / 4
    variants = load_concept("color").variants("a white cat")
    sample = Sample("r", (ref("a"),), variants, variants.keyword, "a")
    assert Ranking().score_sample(sample, np.zeros((1, 9), np.float32)).chance == 1 / 9


def test_retrieval_of_coco_s_size_stays_within_200_mb_above_the_features():
    rng = np.random.default_rng(0)
    images, texts = (rng.random((count, 512), dtype=np.float32) for count in (5000, 25_014))
    owners = np.sort(np.concatenate([np.repeat(np.arange(5000), 5), np.arange(14)]))
    counts = np.bincount(owners).tolist()
    samples = [Sample(f"{i}", (ref(f"{i}"),), ["a"] * n, "g", f"{i}") for i, n in enumerate(counts)]
    tracemalloc.start()
    outcomes = Retrieval().score_all(samples, images, texts, owners)
    assert all(next(outcomes).group == "i2t" for _ in range(300))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6


def test_chunks_change_no_rank(monkeypatch):
    rng = np.random.default_rng(1)
    images, texts = (rng.integers(-2, 3, (count, 4)).astype(np.float32) for count in (23, 61))  # with many ties
    owners = np.sort(np.concatenate([np.arange(23), rng.integers(0, 23, 38)]))
    samples = [Sample(f"{i}", (ref(f"{i}"),), ["a"] * n, "g", f"{i}") for i, n in enumerate(np.bincount(owners))]
    expected = list(Retrieval().score_all(samples, images, texts, owners))
    for queries, items in ((1, 1), (5, 7), (64, 10)):
        monkeypatch.setattr(retrieval, "_QUERIES", queries)
        monkeypatch.setattr(retrieval, "_ITEMS", items)
        assert list(Retrieval().score_all(samples, images, texts, owners)) == expected


class Rows:
    def __init__(self, *rows):
        self._rows = rows

    def rows(self, **_):
        return iter(self._rows)


@pytest.mark.parametrize("task", [Ranking(), Retrieval()])
def test_a_second_image_is_refused_not_ignored(task):
    source = Rows(Row("3", (ref("a"), ref("b")), ("a white cat",)))
    with pytest.raises(
        DataError, match=rf"^row 3 has 2 images, and {task.task_type} takes one: name one image column$"
    ):
        list(task.samples(source))
    with pytest.raises(DataError, match=r"^row 3 has no image$"):
        list(task.samples(Rows(Row("3", (), ("a white cat",)))))


def test_the_captions_of_pairs_are_put_into_the_template_unless_they_are_empty():
    class Prompted(PairsTask):
        name = "toy_prompted"
        dataset = DATA
        text_template = "a photo of {}"

    class Rows:
        def rows(self, *, where=None, keep=None):
            yield Row("1", (ref("a"), ref("b")), ("a {cat}", " "))

    (sample,) = Prompted().samples(Rows())
    assert list(sample.texts) == ["a photo of a {cat}", " "]
    assert Prompted().invalid_reason(sample) == "empty caption"
