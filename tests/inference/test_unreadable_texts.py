"""Captions that no model, or not this one, can read: one line per sample, and the others are scored."""

from __future__ import annotations

import json

import pytest

import clipbench
from clipbench.errors import DataError
from clipbench.inference.scorer import Scorer
from clipbench.models import load_model
from clipbench.types import ImageRef, Sample
from clipbench.utils.text import may_be_nothing, text_problem
from tests.models.builders import build_siglip
from tests.oracles import numbered_image, oracle
from tests.seeded import build_clip

HALF = "\ud83d"  # of an emoji's two UTF-16 halves
PAIR = [("a", f"a {HALF} dog"), ("b", "a dog")]
NOTHING = ["", "  ", "\u200b\u200d\ufeff", "\u00a0\n\t", "\x07", "\u2066\u2069"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    return {
        "hf": load_model(str(build_clip(root / "hf"))),
        "open_clip": load_model(str(build_clip(root / "open_clip", library="open_clip"))),
        "siglip": load_model(str(build_siglip(root / "siglip"))),
    }


def write(folder, captions, **task):
    folder.mkdir(exist_ok=True)
    lines = []
    for number, caption in enumerate(captions):
        numbered_image(number).save(folder / f"{number}.png")
        lines.append(json.dumps({"image": f"{number}.png", "caption": caption}) + "\n")
    (folder / "t.jsonl").write_text("".join(lines))
    file = folder / "t.yaml"
    declared = {"name": "toy", "task_type": "retrieval", "dataset": {"path": "t.jsonl"}, **task}
    file.write_text(json.dumps(declared))
    return str(file)


@pytest.mark.parametrize("text", NOTHING)
def test_nothing_to_see_is_an_empty_caption(text):
    assert text_problem(text) == "empty caption"


@pytest.mark.parametrize("text", ["a", "…", "😀", "👩‍👩‍👧", "a\u200bb", "日本語", "a\n", "؟", "ﬁ", "&nbsp;"])
def test_what_can_be_seen_is_none(text):
    assert text_problem(text) is None


def test_characters_that_are_none():
    assert "a lone surrogate" in text_problem(f"a {HALF} dog")
    assert "NUL" in text_problem("a\0dog")


@pytest.mark.parametrize("name", ["hf", "open_clip", "siglip"])
def test_what_this_tokenizer_finds_nothing_in(clips, name):
    model = clips[name]
    for text in ("&nbsp;", "&#32; &amp;nbsp;"):
        assert bool(model.text_problem(text)) == (name != "siglip")  # to which they are words
    assert bool(model.text_problem("?!")) == (name == "siglip")  # which strips punctuation
    for text in ("a cat", "7", "&amp; a cat", "x&nbsp;"):
        assert model.text_problem(text) is None


def test_only_texts_without_words_are_tried():
    assert [may_be_nothing(text) for text in ("&nbsp;x", "&amp;nbsp;", "…!")] == [True, True, True]
    assert [may_be_nothing(text) for text in ("a", "(a)", "7 &nbsp;")] == [False, False, False]


@pytest.mark.parametrize("bad", [*NOTHING, "a\0dog"])
def test_an_evaluation_names_the_sample_and_scores_the_others(tmp_path, bad):
    file = write(tmp_path / "t", ["a white cat", bad, "a brown dog"])
    results = clipbench.evaluate(oracle("random", {}), file)
    assert results.tasks["toy"].error.count("\n") == 0
    assert "1 sample cannot be scored" in results.tasks["toy"].error
    results = clipbench.evaluate(oracle("random", {}), file, allow_missing=True)
    assert results.tasks["toy"].error is None
    assert results.tasks["toy"].counts.effective == 2


def test_what_only_the_model_knows_to_be_nothing_is_reported_too(tmp_path, clips):
    file = write(tmp_path / "t", ["a white cat", "?!", "a brown dog", "..."])
    error = clipbench.evaluate(clips["siglip"], file).tasks["toy"].error
    assert "2 samples cannot be scored" in error
    assert "the tokenizer finds nothing in the caption '?!'" in error
    found = clipbench.evaluate(clips["siglip"], file, allow_missing=True).tasks["toy"]
    assert (found.error, found.counts.effective) == (None, 2)
    assert clipbench.evaluate(clips["hf"], file).tasks["toy"].error is None


def test_half_characters_of_a_table_are_refused_in_ranking_and_training(tmp_path):
    file = write(tmp_path / "t", ["a white cat", f"a white {HALF} dog"], task_type="ranking", concept="color")
    assert "row '1' contains a lone surrogate" in clipbench.evaluate(oracle("random", {}), file).tasks["toy"].error
    with pytest.raises(DataError, match=r"t\.jsonl: .*row .*a lone surrogate"):
        clipbench.finetune("demo", str(tmp_path / "t" / "t.jsonl"), "color", tmp_path / "out")


def test_training_refuses_what_no_model_can_read(tmp_path):
    write(tmp_path / "t", ["a white cat", "a white dog \0"])
    with pytest.raises(DataError, match=r"t\.jsonl: row .*NUL"):
        clipbench.finetune("demo", str(tmp_path / "t" / "t.jsonl"), "color", tmp_path / "out")


def test_a_source_of_somebodys_own_may_have_half_characters():
    samples = [Sample(name, (ImageRef("i", lambda: numbered_image(0)),), [text], "g", "i") for name, text in PAIR]
    with Scorer(oracle("random", {})) as scorer:
        bad, good = (scored.similarities for scored in scorer.similarities(samples, "here"))
    assert (bad.sample_id, bad.image) == ("a", "")
    assert "a lone surrogate" in bad.reason
    assert good.shape == (1, 1)
