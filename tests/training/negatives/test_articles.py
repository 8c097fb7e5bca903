"""Articles before exchanged keywords."""

import json
import re

import numpy as np
import pytest

from clipbench.concepts import Concept, load_concept
from clipbench.errors import ConfigError
from clipbench.training.negatives import ExchangedKeywords, MatchedKeywords
from clipbench.training.negatives.articles import fit_article
from clipbench.training.recipe import Recipe


@pytest.mark.parametrize(
    ("article", "words"),
    [
        ("an", "orange apple umbrella elephant oven aeroplane hour honest heir X-ray S-shaped unimportant uninteresting"
               " ugly urban under usher onerous Orange"),
        ("a", "cat hot-dog house unicorn uniform unit user usual European ewe one-eyed one once utensil ukulele u-turn"
              " uranium tv 8 Blue"),
    ],
)  # fmt: skip
def test_the_sound_decides(article, words):
    for word in words.split():
        for before in ("a ", "an "):
            assert fit_article(before, word) == f"{article} ", word


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A ", "An "), ("AN ", "An "), ("on a  ", "on an  "), ("with 'a ", "with 'an "), ("(a\n", "(an\n"),
        ("the ", "the "), ("", ""), ("a very ", "a very "), ("pizza ", "pizza "), ("c'a ", "c'a "), ("b-a ", "b-a "),
    ],
)  # fmt: skip
def test_only_an_article_right_before_it_changes(before, after):
    assert fit_article(before, "orange") == after


def test_people_write_the_same_articles(coco_folder):
    """Of 43,234 articles in COCO val2017, 190 differ: nearly all are mistakes such as "a open", and three "an SUV"."""
    annotations = json.loads((coco_folder / "annotations/captions_val2017.json").read_text())["annotations"]
    places = [
        (place.group(1), place.string[place.start(2) :])
        for one in annotations
        for place in re.finditer(r"(?<!\w)(an?\s+)(\w)", one["caption"], re.IGNORECASE)
    ]
    assert len(places) > 40_000
    assert sum(fit_article(before, word) == before for before, word in places) / len(places) > 0.995


CAPTIONS = ["A blue cat on an orange sofa", "an orange by a red car", "the blue bird", "Sees a green tree."]


def drawn(kind, mend, k=8):
    color = load_concept("color")
    negatives = kind([(color.variants(caption),) for caption in CAPTIONS], k, mend)
    draw = negatives.draw(0, 0)
    texts, there = negatives.texts(np.arange(len(CAPTIONS)), draw.picks)
    return [text for text, kept in zip(texts, there.ravel(), strict=True) if kept]


@pytest.mark.parametrize("kind", [ExchangedKeywords, MatchedKeywords])
def test_negatives_with_mended_articles(kind):
    plain, mended = drawn(kind, False, k=2), drawn(kind, True, k=2)
    assert len(plain) == len(mended) > 4
    for one, other in zip(plain, mended, strict=True):
        fixed = one.replace("A orange", "An orange").replace("a orange", "an orange")
        if one.startswith("an ") and not one.startswith("an orange"):
            fixed = fixed.replace("an ", "a ", 1)
        assert other == fixed


def test_all_replacements_of_one_caption():
    assert {text.split(" cat")[0] for text in drawn(ExchangedKeywords, True)[:8]} == {
        "A red", "A green", "A yellow", "A black", "A white", "A brown", "A gray", "An orange",
    }  # fmt: skip
    assert "A orange cat on an orange sofa" in drawn(ExchangedKeywords, False)[:8]


def test_a_caption_without_a_replacement_stays_as_it_is():
    concept = Concept("toy", {"orange": ("red",)})
    negatives = ExchangedKeywords([(concept.variants("a orange"),)], 1, True)
    texts, there = negatives.texts(np.array([0]), np.array([[0, -1]]))
    assert (texts, there.tolist()) == (["a orange"], [[False]])


def test_they_are_part_of_what_a_run_is():
    color = load_concept("color")
    plain, mended = (ExchangedKeywords([(color.variants("a red car"),)], 1, mend) for mend in (False, True))
    assert plain.identity(0) != mended.identity(0) == mended.kept([0]).identity(0)
    assert "mend_articles" not in Recipe(("color",)).identity()  # earlier runs go on
    assert Recipe(("color",), mend_articles=True).identity()["mend_articles"] is True


@pytest.mark.parametrize("fields", [{"negatives": 0}, {"negatives_from": ("neg_caption",)}])
def test_without_exchanged_keywords_there_is_nothing_to_mend(fields):
    with pytest.raises(ConfigError, match="mend_articles"):
        Recipe(("color",), mend_articles=True, **fields)


def test_training_sees_them(start, tmp_path):
    run = start(tmp_path / "run", mend_articles=True)
    assert run.setup.pairs.negatives.mend_articles
    list(run.run())
    with pytest.raises(ConfigError, match="another recipe: mend_articles is True, not False"):
        start(tmp_path / "run")
