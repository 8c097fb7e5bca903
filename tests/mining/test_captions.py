"""Finding keywords and drawing negatives."""

import json
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipbench.concepts import Concept, load_concept
from clipbench.mining.captions import CaptionMiner

WHITE = [chr(code) for code in range(0x3100) if chr(code).isspace()]
CAPTIONS = [
    "A white cat on a black mat.",
    "",
    None,
    "Nothing to see here.",
    "The red car, left of a tree.",
    "White noise.",  # case-sensitive
]


def test_rows_keywords_and_counts():
    miner = CaptionMiner(load_concept("color"), 2, seed=0)
    rows, keywords, negatives = miner.mine(CAPTIONS)
    assert rows == [0, 4]
    assert keywords == ["white", "red"]
    assert all(len(set(texts)) == 2 for texts in negatives)
    for row, texts in zip(rows, negatives, strict=True):
        possible = list(load_concept("color").variants(CAPTIONS[row]))[1:]
        assert set(texts) <= set(possible)
    assert miner.counts.to_dict() == {"captions": 6, "empty": 2, "unreadable": 0, "keywords": {"red": 1, "white": 1}}


@pytest.mark.parametrize("negatives", [3, 50, None])
def test_a_keyword_with_fewer_replacements_gives_all_of_them(negatives):
    _, _, found = CaptionMiner(load_concept("location"), negatives, seed=0).mine(["A cat on the left."])
    assert found == [["A cat on the right."]]


@given(
    st.lists(
        st.none()
        | st.lists(
            st.sampled_from([*"a.,;-'\"/(&$ ", *WHITE, "white", "White", "black", "whites", "\u00e9"]), max_size=6
        ).map("".join),
        max_size=8,
    )
)
@settings(deadline=None)
def test_a_column_gives_what_a_list_gives(captions):
    """Arrow's expressions have another idea of white space."""
    column, plain = CaptionMiner(load_concept("color"), 2, seed=0), CaptionMiner(load_concept("color"), 2, seed=0)
    assert column.mine_column(pa.array(captions, pa.string())) == plain.mine(captions)
    assert column.counts == plain.counts


def test_all_white_space_separates_in_a_column_too():
    captions = [f"a{space}white{space}cat" for space in WHITE]
    assert (
        column_rows(captions) == list(range(len(WHITE))) == CaptionMiner(load_concept("color"), 1, 0).mine(captions)[0]
    )
    assert column_rows([f"a{chr(code)}white cat" for code in (0x200B, 0x180E, 0xFEFF, 0x61)]) == []


def test_more_keywords_than_an_expression_can_hold():
    words = {f"{'long' * 30}{number}": ("short",) for number in range(4000)}
    column = pa.array([f"a {'long' * 30}3999 word", "none"])
    assert CaptionMiner(Concept("many", words), 1, 0).mine_column(column)[0] == [0]


def column_rows(captions):
    return CaptionMiner(load_concept("color"), 1, 0).mine_column(pa.array(captions))[0]


def test_a_draw_depends_on_seed_and_text_alone():
    texts = [f"A {color} bird number {number}." for number in range(50) for color in ("red", "blue")]
    together = CaptionMiner(load_concept("color"), 3, seed=1).mine(texts)[2]
    miner = CaptionMiner(load_concept("color"), 3, seed=1)
    one_by_one = [miner.mine([text])[2][0] for text in reversed(texts)]
    assert together == one_by_one[::-1]
    assert together != CaptionMiner(load_concept("color"), 3, seed=2).mine(texts)[2]


def test_replacements_are_drawn_uniformly():
    texts = [f"A red bird number {number}." for number in range(8000)]
    drawn = Counter(text for found in CaptionMiner(load_concept("color"), 1, seed=0).mine(texts)[2] for text in found)
    words = Counter(text.split()[1] for text in drawn.elements())
    # 1,000 are expected of each of 8; the standard deviation is 29.6, and 5 of them is far out.
    assert len(words) == 8
    assert all(abs(count - 1000) < 150 for count in words.values())


def test_all_negatives_are_the_variants_of_the_concept():
    _, _, found = CaptionMiner(load_concept("object"), None, seed=0).mine(["A dog runs."])
    assert found == [list(load_concept("object").variants("A dog runs."))[1:]]
    assert len(found[0]) == 79


def test_published_counts(coco_folder):
    """Table 2 of the paper, on COCO val2017."""
    file = coco_folder / "annotations" / "captions_val2017.json"
    captions = [entry["caption"] for entry in json.loads(file.read_text())["annotations"]]
    miner = CaptionMiner(load_concept("color"), 1, seed=0)
    assert len(miner.mine(captions)[0]) == 3907
