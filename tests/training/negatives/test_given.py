"""Hard negatives that the data holds: columns of captions and images, and rows of pairs."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clipbench.concepts import load_concept
from clipbench.errors import ConfigError, DataError
from clipbench.training.gathering import gather_given
from clipbench.training.negatives import GivenNegatives
from clipbench.training.negatives.columns import GivenColumns
from clipbench.training.recipe import Recipe
from clipbench.training.sampling import substitution_uniforms

CAPTIONS = ["a red cat", "a dog", "two blue boats", "a white bird"]
GIVEN = [["a blue cat", "a red dog"], ["a cat"], [], ["a black bird", "a white fish", "two white birds"]]


def write(folder, name="pairs.parquet", **columns):
    for number in range(6):
        Image.new("RGB", (8, 8), (number * 40, 0, 0)).save(folder / f"{number}.png")
    table = pd.DataFrame({"filepath": [f"{n}.png" for n in range(len(CAPTIONS))], "title": CAPTIONS, **columns})
    path = folder / name
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return str(path)


def gathered(path, captions=("neg_caption",), images=(), concepts=(), **options):
    return gather_given(GivenColumns(path, captions, images), [load_concept(name) for name in concepts], **options)


def drawn(pairs, seed=0, epoch=0):
    """Each caption's valid hard negatives."""
    texts, valid = pairs.negatives.texts(np.arange(len(pairs)), pairs.negatives.draw(seed, epoch).picks)
    k = pairs.negatives.k
    assert len(texts) == valid.size == len(pairs) * k
    for row, caption in enumerate(pairs.captions):
        for column in range(k):
            assert (texts[row * k + column] == caption) != valid[row, column]
    return [[texts[row * k + m] for m in range(k) if valid[row, m]] for row in range(len(pairs))]


FORMS = {
    "pairs.parquet": GIVEN,
    "pairs.jsonl": GIVEN,
    "negclip.tsv": [str(texts) for texts in GIVEN],  # NegCLIP's own: a list in Python's notation
    "json.csv": [json.dumps(texts) for texts in GIVEN],
}


@pytest.mark.parametrize("name", FORMS)
def test_a_list_of_negatives_is_read_from_any_table(tmp_path, name):
    pairs = gathered(write(tmp_path, name, neg_caption=FORMS[name]), k=3)
    assert pairs.captions == CAPTIONS
    assert list(pairs.negatives.given) == [tuple(texts) for texts in GIVEN]
    assert [sorted(texts) for texts in drawn(pairs)] == [sorted(texts) for texts in GIVEN]
    assert "1 of 4 captions have no hard negative (neg_caption)" in pairs.provenance.details["problem"]


def test_several_columns_are_one_list(tmp_path):
    first, second = ["a blue cat", "a cat", "", "a black bird"], ["a red dog", None, "a car", "a black bird"]
    pairs = gathered(write(tmp_path, "t.csv", neg_a=first, neg_b=second), ("neg_a", "neg_b"), k=2)
    assert list(pairs.negatives.given) == [("a blue cat", "a red dog"), ("a cat",), ("a car",), ("a black bird",)]


def test_each_epoch_draws_others_without_repetition_and_by_the_uniform_numbers(tmp_path):
    many = tuple(f"negative {n}" for n in range(5))
    source = GivenNegatives(["a", "b"], [many, ("c", "d")], k=2)
    seen = set()
    for epoch in range(40):
        picks = source.draw(3, epoch).picks
        u, v = substitution_uniforms(3, epoch, 2, 2)[0, 1:]
        rest = list(range(5))
        assert picks[0].tolist() == [rest.pop(int(u * 5)), rest.pop(int(v * 4))]
        assert picks[1].tolist() == [0, 1]
        seen.update(picks[0].tolist())
    assert seen == set(range(5))


def test_captions_of_a_row_have_their_own_negatives_or_share_them(tmp_path):
    for number in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    rows = [
        {"image": "0.png", "captions": ["a", "b"], "neg": [["a1", "a2"], ["b1"]]},
        {"image": "1.png", "captions": ["c", "d"], "neg": ["c1", "d1"]},
        {"image": "2.png", "captions": ["e", "f"], "neg": ["x", "y", "z"]},
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = gathered(str(tmp_path / "t.jsonl"), ("neg",))
    shared = ("x", "y", "z")
    assert list(pairs.negatives.given) == [("a1", "a2"), ("b1",), ("c1",), ("d1",), shared, shared]
    rows[0]["neg"] = [["a1"]]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"row 0, column neg: 1 list for 2 captions"):
        gathered(str(tmp_path / "t.jsonl"), ("neg",))


def test_a_concept_keeps_the_captions_with_a_keyword(tmp_path):
    pairs = gathered(write(tmp_path, neg_caption=GIVEN), concepts=["color"])
    assert pairs.captions == ["a red cat", "two blue boats", "a white bird"]
    assert gathered(write(tmp_path, neg_caption=GIVEN), limit=2).captions == CAPTIONS[:2]


def test_the_fingerprint_covers_what_is_given(tmp_path):
    pairs = gathered(write(tmp_path, neg_caption=GIVEN))
    changed = gathered(write(tmp_path, neg_caption=[*GIVEN[:3], ["a black bird"]]))
    assert pairs.fingerprint != changed.fingerprint
    assert pairs.fingerprint == gathered(write(tmp_path, neg_caption=GIVEN)).fingerprint


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["", "", "", ""], r"t\.csv: neg_caption: no caption has a hard negative"),
        (["x", "y", "two blue boats", "z"], r"row 2: a negative in neg_caption is the caption itself.*allow_missing"),
        (["x", "\x00", "y", "z"], r"row 1"),
        (["x", "['a", "y", "z"], r"column neg_caption: begins like a list"),
    ],
)
def test_bad_negatives_are_one_line_that_names_row_and_column(tmp_path, column, message):
    with pytest.raises(DataError, match=message) as caught:
        gathered(write(tmp_path, "t.csv", neg_caption=column))
    assert "\n" not in str(caught.value)


def test_a_negative_that_is_its_caption_is_left_out_if_allowed(tmp_path):
    path = write(tmp_path, "t.csv", neg_caption=["x", "y", "two blue boats", "z"])
    pairs = gathered(path, allow_missing=True)
    assert list(pairs.negatives.given) == [("x",), ("y",), (), ("z",)]
    assert "left out: 1 negative equal to the caption" in pairs.provenance.details["problem"]


def test_a_column_that_does_not_exist_is_said_with_those_that_resemble_it(tmp_path):
    path = write(tmp_path, neg_caption=GIVEN)
    with pytest.raises(DataError, match=r"no column 'neg_captoin' \(did you mean neg_caption\?\)"):
        gathered(path, ("neg_captoin",))
    with pytest.raises(DataError, match=r"no column 'neg_image'"):
        gathered(path, ("neg_caption",), ("neg_image",))
    with pytest.raises(DataError, match=r"no column 'x'"):
        gathered("scenes=4", ("x",))


def keys(pairs):
    return [[pairs.images[n].key for n in row if n >= 0] for row in pairs.negative_images.tolist()]


@pytest.mark.parametrize(("name", "cells"), [("t.parquet", [[1, 2], [3], [], [0]]),
                                            ("t.tsv", ["[1, 2]", "[3]", "[]", "[0]"]),
                                            ("t.csv", ["1,2", "3", "", "0"])])  # fmt: skip
def test_negative_images_are_numbers_of_rows(tmp_path, name, cells):
    path = write(tmp_path, name, neg_caption=FORMS["json.csv"], neg_image=cells)
    pairs = gathered(path, images=("neg_image",))
    own = [pairs.images[n].key for n in pairs.image_of]
    assert keys(pairs) == [[own[1], own[2]], [own[3]], [], [own[0]]]


def test_numbers_count_all_rows_whatever_the_concept(tmp_path):
    pairs = gathered(write(tmp_path, "t.jsonl", neg_image=[[1], [0], [1], [2]]), (), ("neg_image",), ["color"])
    assert pairs.captions == ["a red cat", "two blue boats", "a white bird"]
    assert keys(pairs) == [["1.png"], ["1.png"], ["2.png"]]
    assert [entries[0].keyword for entries in pairs.negatives.variants] == ["red", "blue", "white"]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_negative_images_are_files(tmp_path, name):
    path = write(tmp_path, name, neg_caption=["w", "x", "y", "z"], neg_image=["4.png", "5.png", "", "4.png"])
    pairs = gathered(path, images=("neg_image",))
    assert [[key[-5:] for key in row] for row in keys(pairs)] == [["4.png"], ["5.png"], [], ["4.png"]]
    assert pairs.images[pairs.negative_images[1, 0]].open().getpixel((0, 0))[0] == 200


def test_missing_negative_images_are_refused_or_done_without(tmp_path):
    path = write(tmp_path, "t.csv", neg_caption=["w", "x", "y", "z"], neg_image=["4.png", "gone.png", "5.png", "5.png"])
    with pytest.raises(DataError, match=r"row 1: negative image gone\.png is missing.*allow_missing"):
        gathered(path, images=("neg_image",))
    pairs = gathered(path, images=("neg_image",), allow_missing=True)
    assert keys(pairs) == [["4.png"], [], ["5.png"], ["5.png"]]
    path = write(tmp_path, "n.csv", neg_image=["1", "9", "0", "0"])
    with pytest.raises(DataError, match=r"row 1, column neg_image: no row 9: there are 4 rows"):
        gathered(path, (), ("neg_image",))


def test_the_sides_of_a_pair_are_each_others_negatives(tmp_path):
    for number in range(4):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "t.csv").write_text(
        "image,negative_image,caption,negative_caption\n0.png,1.png,a red cat,a blue cat\n2.png,3.png,a dog,a car\n"
    )
    where = f"{tmp_path / 't.csv'}?images=image,negative_image&captions=caption,negative_caption"
    pairs = gathered(where, ("pairs",))
    assert pairs.captions == ["a red cat", "a blue cat", "a dog", "a car"]
    assert list(pairs.negatives.given) == [("a blue cat",), ("a red cat",), ("a car",), ("a dog",)]
    assert [pairs.images[n].key for n in pairs.image_of] == ["0.png", "1.png", "2.png", "3.png"]
    assert keys(pairs) == [["1.png"], ["0.png"], ["3.png"], ["2.png"]]
    with pytest.raises(DataError, match=r"row 0: 1 image and 1 caption: negatives_from pairs needs several"):
        gathered(f"{tmp_path / 't.csv'}?images=image&captions=caption", ("pairs",))


def test_broken_images_take_their_captions_and_negatives_along(tmp_path):
    pairs = gathered(
        write(tmp_path, "t.jsonl", neg_caption=GIVEN, neg_image=[[1], [0], [3], [2]]), images=("neg_image",)
    )
    kept = pairs.without_images({pairs.image_of[1]})
    assert kept.captions == [CAPTIONS[0], *CAPTIONS[2:]]
    assert list(kept.negatives.given) == [tuple(GIVEN[0]), (), tuple(GIVEN[3])]
    assert keys(kept) == [[], ["3.png"], ["2.png"]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"concepts": ("none", "color")}, "give it alone"),
        ({"concepts": ("none",), "mix": {"general": 0.5}}, "all captions are trained on already"),
        ({"negatives_from": ("a",), "negatives": 0}, "no effect with negatives 0"),
        ({"negatives_from": ("a", "a")}, "appears twice"),
        ({"negatives_from": ("pairs", "a")}, "negatives_from pairs"),
        ({"negatives_from": ("a",), "replacement_sampling": "matched"}, "no effect on negatives_from"),
        ({"negatives": 0, "replacement_sampling": "matched"}, "needs negatives"),
        ({"replacement_sampling": "even"}, "give uniform or matched"),
    ],
)
def test_contradictory_sources_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Recipe(**{"concepts": ("color",), **fields})


def test_without_a_concept_there_are_no_negatives_unless_given():
    assert Recipe(("none",)).negatives == 0
    assert Recipe(("none",), negatives_from=("neg",), negatives=2).negatives == 2


def test_training_takes_given_captions_and_images(start, tmp_path):
    (tmp_path / "data").mkdir()
    path = write(tmp_path / "data", "t.jsonl", neg_caption=GIVEN, neg_image=[[1], [0], [3], [2]])
    run = start(tmp_path / "run", data=path, concepts=("none",), batch_size=4, negatives_from=("neg_caption",),
                negative_images_from=("neg_image",), negatives=2, loss="negclip")  # fmt: skip
    batch = run.setup.batches.make(0)
    assert batch.valid.sum(dim=1).tolist() == [min(2, len(GIVEN[int(name)])) for name in batch.ids]
    assert batch.negative_images.valid.all()
    assert all(np.isfinite(event.loss) for event in run.run() if hasattr(event, "loss"))


def test_training_without_a_concept_takes_all_captions(start, tmp_path):
    (tmp_path / "data").mkdir()
    run = start(tmp_path / "run", data=write(tmp_path / "data"), concepts=("none",), batch_size=2)
    assert run.setup.pairs.captions == CAPTIONS
    assert [event.step for event in run.run() if hasattr(event, "loss")] == [1, 2]
    assert (tmp_path / "run/README.md").is_file()


def test_columns_of_negatives_that_are_not_asked_for_are_said(start, tmp_path):
    (tmp_path / "data").mkdir()
    path = write(tmp_path / "data", neg_caption=GIVEN)
    said = "columns of negative captions are not used: name them in negatives_from"
    assert any(said in note for note in start(tmp_path / "run", data=path, batch_size=2).notes)
    assert not any(said in note for note in start(tmp_path / "0", data=path, batch_size=2, negatives=0).notes)


def test_too_few_captions_without_a_concept_are_told_so(start, tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=r"4 captions, fewer than a batch of 8"):
        start(tmp_path / "run", data=write(tmp_path / "data"), concepts=("none",))
