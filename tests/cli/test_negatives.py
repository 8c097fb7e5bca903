import ast
import json

import pandas as pd
import pytest
import torch

from clipbench.training.gathering import gather_given
from clipbench.training.negatives.columns import GivenColumns
from tests.models.builders import bert_tokenizer, build_bert
from tests.training.table import write_table

CAPTIONS = ["a white cat", "two dogs", "a brown dog on the left", "a white cat"]


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("models") / "masked"
    tokenizer = bert_tokenizer()
    torch.manual_seed(3)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text("".join(f"{caption}\n" for caption in CAPTIONS))
    return path


def test_a_masked_language_model_as_a_filter(run, masked, lines):
    pytest.importorskip("HanTa")
    code, out, _ = run("negatives", "--method", "mlm", "--model", masked, "--pos", "NOUN", "--device", "cpu", lines)
    assert code == 0
    found = [json.loads(line) for line in out.splitlines()]
    assert [entry["caption"] for entry in found] == [CAPTIONS[entry["line"] - 1] for entry in found]
    for entry in found:
        (text,) = entry["variants"]
        start, end = entry["start"], entry["start"] + len(entry["keyword"])
        assert entry["caption"][start:end] == entry["keyword"]
        assert text.startswith(entry["caption"][:start])
        assert text.endswith(entry["caption"][end:])
        assert text != entry["caption"]


@pytest.mark.parametrize("suffix", [".parquet", ".tsv", ".csv", ".jsonl"])
def test_neighbors_of_training_data_are_written_as_finetune_and_negclip_read_them(run, tmp_path, suffix):
    data = write_table(tmp_path / "data", captions=CAPTIONS)
    table = tmp_path / f"table{suffix}"
    bert = build_bert(tmp_path / "bert")
    code, out, err = run("negatives", "--method", "neighbors", "--model", bert, "--negatives", 2, "--threshold", 1,
                         "--device", "cpu", "--train_data", data, "--output_path", table)  # fmt: skip
    assert (code, out) == (0, "")
    assert "4 captions written to" in err
    pairs = gather_given(GivenColumns(str(table), ("neg_caption",), ("neg_image",)), [], k=2)
    assert pairs.captions == CAPTIONS
    assert all(len(set(texts)) == 2 and caption not in texts
               for caption, texts in zip(CAPTIONS, pairs.negatives.given, strict=True))  # fmt: skip
    for row, texts in enumerate(pairs.negatives.given):
        images = [pairs.images[number].path.name for number in pairs.negative_images[row]]
        assert [CAPTIONS[int(name.removesuffix(".png"))] for name in images] == list(texts)
    if suffix == ".tsv":  # as NegCLIP's own loader does
        read = pd.read_csv(table, sep="\t")
        assert [ast.literal_eval(cell) for cell in read["neg_caption"]] == [list(t) for t in pairs.negatives.given]
        assert list(read.columns) == ["filepath", "title", "neg_caption", "neg_image"]


def test_keywords_are_written_as_a_table_of_the_captions_that_hold_one(run, tmp_path):
    data = write_table(tmp_path / "data", captions=CAPTIONS)
    code, _, err = run("negatives", "-c", "color", "--negatives", 3, "--train_data", data, "-o", tmp_path / "t.parquet")
    assert code == 0
    assert "1 of 4 captions have no hard negative" in err
    read = pd.read_parquet(tmp_path / "t.parquet")
    assert read["title"].tolist() == [CAPTIONS[0], *CAPTIONS[2:]]
    assert read["neg_caption"].map(len).tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--concept: name the concept"),
        (["--method", "mlm"], "--method mlm: needs --model"),
        (["--model", "x", "-c", "color"], "--model: has no effect with --method keywords"),
        (["--method", "mlm", "--model", "x", "--pos", "NUON"], "NOUN"),
        (["--method", "neighbors", "--model", "x", "--seed", 1], "--seed: has no effect with --method neighbors"),
        (["--method", "neighbors", "--model", "x", "--pos", "NOUN"], "--pos: has no effect"),
        (["-c", "color", "--threshold", 0.5], "--threshold: has no effect"),
        (["-c", "color", "-o", "t.xlsx"], "give a file that ends in .parquet"),
        (["-c", "color", "--allow_missing"], "no effect without --train_data"),
        (["-c", "color", "--train_data", "nowhere.csv"], "no such file or data set"),
        (["-c", "color", "--train_data", "scenes=3", __file__], "not both"),
    ],
)
def test_bad_usage_is_one_line(run, lines, flags, message):
    code, out, err = run("negatives", *flags, *([] if "--train_data" in flags else [lines]))
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_model_that_is_not_there_is_one_line(run, lines, tmp_path):
    for method in ("mlm", "neighbors"):
        if method == "mlm":
            pytest.importorskip("HanTa")
        code, _, err = run("negatives", "--method", method, "--model", tmp_path / "none", lines)
        assert code != 0
        assert "none" in err
