import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipbench.concepts import Concept, load_concept
from tests.reference.matching import first_keyword

WORDS = Concept("w", {"front": ("back",), "in front of": ("behind",), "hot dog": ("pizza",), "dog": ("cat",)})


@pytest.mark.parametrize(
    ("caption", "keyword", "start", "variant"),
    [
        ("A white cat.", "white", 2, "A blue cat."),
        ("white", "white", 0, "blue"),
        ("It is white, blue!", "white", 6, "It is blue, blue!"),
        ("A car (white) and a red one", "red", 20, "A car (white) and a blue one"),
        ("off-white / white-ish 'white' \"white\" red", "red", 38, "off-white / white-ish 'white' \"white\" blue"),
        ("white\ncat", "white", 0, "blue\ncat"),
        ("$white$", "white", 1, "$blue$"),
    ],
)
def test_where_a_color_stands(caption, keyword, start, variant):
    variants = load_concept("color").variants(caption)
    assert (variants.keyword, variants.start, variants[1]) == (keyword, start, variant)
    assert caption[variants.start : variants.end] == keyword
    assert variants[0] == caption


@pytest.mark.parametrize(
    "caption", ["A White cat.", "whites", "a white-ish cat", "(white)", "a 'white' cat", "white/black", "whit e", ""]
)
def test_what_is_no_color(caption):
    assert load_concept("color").variants(caption) is None
    assert not load_concept("color").matches(caption)


def test_the_longest_keyword_wins_at_one_place_and_the_leftmost_overall():
    assert WORDS.variants("a cat in front of a hot dog").keyword == "in front of"
    assert WORDS.variants("a hot dog").keyword == "hot dog"
    assert WORDS.variants("front dog").keyword == "front"


def test_only_the_leftmost_occurrence_is_exchanged():
    assert load_concept("color").variants("a white cat on a white sofa")[1] == "a blue cat on a white sofa"


def test_a_keyword_of_several_words_may_be_written_with_separators_between():
    variants = WORDS.variants("one hot,  dog!")
    assert (variants.keyword, variants[1]) == ("hot dog", "one pizza!")


@given(
    st.lists(
        st.sampled_from(["in", "front", "of", "hot", "dog", "-", ",", ".", "$!", " ", "\n", "\xa0", "s"]), max_size=14
    )
)
def test_one_pattern_finds_what_padding_and_searching_finds(parts):
    caption = "".join(parts)
    found = WORDS.variants(caption)
    assert (found and found.keyword) == first_keyword(caption, list(WORDS.replacements))


def test_variants_are_a_sequence():
    variants = load_concept("location").variants("left of it")
    assert len(variants) == 2
    assert list(variants) == ["left of it", "right of it"] == variants[:]
    assert variants[-1] == "right of it"
    with pytest.raises(IndexError):
        variants[2]


@pytest.mark.parametrize(
    ("name", "excluded", "expected"),
    [("object", (), 12_907), ("color", (), 3_907), ("location", (), 2_527), ("size", ("tiny",), 2_601)],
)
def test_published_sample_counts_on_the_official_coco_captions(coco_folder, name, excluded, expected):
    data = json.loads((coco_folder / "annotations/captions_val2017.json").read_text())
    captions = [annotation["caption"] for annotation in data["annotations"]]
    concept = load_concept(name).without_keywords(excluded)
    assert len(captions) == 25_014
    assert sum(concept.matches(caption) for caption in captions) == expected
    # and the spelled-out rule agrees on which keyword it is, caption by caption
    for caption in captions[::7]:
        found = concept.variants(caption)
        assert (found and found.keyword) == first_keyword(caption, list(concept.replacements))
