"""`clipbench embed`, and `clipbench eval` of what it wrote."""

import pytest

import clipbench
from tests.toy import write_toy


def records(model, task):
    found = {}
    clipbench.evaluate(
        str(model), str(task), on_sample=lambda name, result: found.update({result.sample_id: result.record})
    )
    return found


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "parquet"])
def test_scores_of_what_embed_wrote_are_the_models_own(tmp_path, run, suffix):
    task = write_toy(tmp_path)
    file = tmp_path / f"made.{suffix}"
    code, out, err = run("embed", "--model", "demo", "--tasks", task, "-o", file)
    assert (code, out) == (0, ""), err
    assert records(f"embeddings:{file}", task) == records("demo", task)  # to the last bit


def test_embed_refuses_an_unknown_suffix_before_anything_is_loaded(tmp_path, run):
    code, _, err = run("embed", "--model", "nowhere", "--tasks", "scenes", "-o", tmp_path / "made.csv")
    assert code == 2
    assert "embeddings are written to .npz, .safetensors, .parquet files" in err


def test_embed_says_which_data_is_missing(tmp_path, run):
    code, _, err = run("embed", "--model", "demo", "--tasks", "sbu", "-o", tmp_path / "made.npz")
    assert code == 1
    assert "sbu_color" in err
    assert not (tmp_path / "made.npz").exists()


def test_eval_of_embeddings_needs_no_photograph(tmp_path, run):
    task = write_toy(tmp_path)
    file = tmp_path / "made.npz"
    assert run("embed", "--model", "demo", "--tasks", task, "-o", file)[0] == 0
    expected = run("eval", "--model", f"embeddings:{file}", "--tasks", task)[:2]
    for photograph in tmp_path.glob("*.png"):
        photograph.unlink()
    assert run("eval", "--model", f"embeddings:{file}", "--tasks", task)[:2] == expected
    assert run("eval", "--model", "demo", "--tasks", task)[0] == 1
