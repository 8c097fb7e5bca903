"""Choice among texts and among images: judged by hand, and by everything that works on logged samples."""

import itertools

import numpy as np
import pytest

from clipbench.data import Dataset
from clipbench.errors import DataError
from clipbench.task_types import ChoiceTask, ImageChoiceTask
from clipbench.types import ImageRef, Row, Sample

DATA = Dataset("toy", None)


class Choice(ChoiceTask):
    name = "toy_choice"
    dataset = DATA
    group_field = "kind"


class ImageChoice(ImageChoiceTask):
    name = "toy_image_choice"
    dataset = DATA


class Rows:
    """A source of given rows."""

    def __init__(self, *rows):
        self.given = rows

    def rows(self, *, where=None, keep=None):
        return iter(self.given)


def ref(key):
    return ImageRef(key, lambda: None)


def choice(texts, true=1):
    return Sample("s", (ref("a"),), texts, "g", "a", true)


@pytest.mark.parametrize(
    ("scores", "true", "acc", "tied"),
    [
        ([0.9, 0.5], 1, 1, False),
        ([0.5, 0.5], 1, 0, True),
        ([0.4, 0.5], 1, 0, False),
        ([0.6, 0.1, 0.2, 0.6, 0.3], 1, 0, True),
        ([0.6, 0.1, 0.2, 0.5, 0.3], 1, 1, False),
        ([0.9, 0.6, 0.5], 2, 1, False),
        ([0.6, 0.9, 0.5], 2, 1, False),
        ([0.9, 0.4, 0.5], 2, 0, False),  # one true text won, the other did not
        ([0.9, 0.5, 0.5], 2, 0, True),
        ([0.7, 0.7, 0.5, 0.6], 2, 1, False),  # true texts do not compete with one another
    ],
)
def test_every_true_text_must_exceed_every_false_one(scores, true, acc, tied):
    sample = choice([f"t{place}" for place in range(len(scores))], true)
    outcome = Choice().score_sample(sample, np.float32([scores]))
    assert (outcome.values, outcome.correct, outcome.tied) == ({"acc": acc}, bool(acc), tied)
    np.testing.assert_array_equal(np.float32(outcome.record["scores"]), np.float32(scores))


@pytest.mark.parametrize(("scores", "acc", "tied"), [([0.9, 0.5, 0.1], 1, False), ([0.5, 0.1, 0.5], 0, True)])
def test_the_text_must_prefer_the_true_image_to_all_others(scores, acc, tied):
    images = tuple(ref(f"i{place}") for place in range(len(scores)))
    outcome = ImageChoice().score_sample(Sample("s", images, ["t"], "g", "i0"), np.float32(scores)[:, None])
    assert (outcome.values, outcome.tied, outcome.chance) == ({"acc": acc}, tied, 1 / 3)
    assert outcome.record["images"] == ["i0", "i1", "i2"]


@pytest.mark.parametrize(("true", "false"), [(1, 1), (1, 4), (2, 1), (2, 3), (3, 3)])
def test_chance_is_the_share_of_orders_with_all_true_texts_first(true, false):
    count = true + false
    orders = list(itertools.permutations(range(count)))
    expected = sum(set(order[:true]) == set(range(true)) for order in orders) / len(orders)
    outcome = Choice().score_sample(choice(["t"] * count, true), np.zeros((1, count), np.float32))
    assert outcome.chance == pytest.approx(expected)


@pytest.mark.parametrize(
    ("texts", "true", "why"),
    [
        (["a cat", "a dog"], 1, None),
        (["a cat", " a  cat\n"], 1, "a false caption is the same as a true one"),
        (["a cat", "one cat", "a cat"], 2, "a false caption is the same as a true one"),
        (["a cat", "a cat ", "a dog"], 2, "two true captions are the same"),
        (["a cat", "a dog", "a dog"], 1, None),  # false ones may repeat
        (["a cat", " "], 1, "empty caption"),
        (["", "a dog"], 1, "empty caption"),
        (["a cat"], 1, "no false caption: name a column of them in `false_captions`"),
        (["a dog"], 0, "no true caption"),
    ],
)
def test_choices_that_cannot_be_judged(texts, true, why):
    assert Choice().invalid_reason(choice(texts, true)) == why


def test_images_that_cannot_be_chosen_among():
    assert ImageChoice().invalid_reason(Sample("s", (ref("a"), ref("b")), ["t"], "g", "a")) is None
    assert ImageChoice().invalid_reason(Sample("s", (ref("a"), ref("b")), [" "], "g", "a")) == "empty caption"
    same = Sample("s", (ref("a"), ref("b"), ref("a")), ["t"], "g", "a")
    assert ImageChoice().invalid_reason(same) == "a false image is the same as the true one"


def test_rows_become_samples():
    row = Row("1", (ref("a"),), ("true", "true too"), {"kind": "color", "cluster": "p"}, ("false",))
    (sample,) = Choice().samples(Rows(row))
    assert (list(sample.texts), sample.true_texts) == (["true", "true too", "false"], 2)
    assert (sample.group, sample.cluster) == ("color", "p")
    (sample,) = ImageChoice().samples(Rows(Row("1", (ref("a"), ref("b")), ("true",))))
    assert ([image.key for image in sample.images], list(sample.texts)) == (["a", "b"], ["true"])
    assert (sample.group, sample.cluster) == ("toy_image_choice", "a")


def test_rows_of_the_wrong_form():
    with pytest.raises(DataError, match="row 1 has 2 images, and a choice among texts takes one"):
        list(Choice().samples(Rows(Row("1", (ref("a"), ref("b")), ("t",)))))
    with pytest.raises(DataError, match="row 1 has 1 images and 2 captions: a choice among images has several images"):
        list(ImageChoice().samples(Rows(Row("1", (ref("a"),), ("t", "u")))))
