"""`clipbench eval --model text_only:…`: a language model needs no photograph."""

import json

import pytest

import clipbench
from tests.seeded import build_language_model
from tests.toy import write_toy


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_language_model(tmp_path_factory.mktemp("language") / "gpt2")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("embed", "--tasks", "scenes_size"), "has no embeddings: it scores texts by their likelihood"),
        (("finetune", "--train_data", "scenes", "--concept", "size"), "a language model has no image encoder"),
    ],
)
def test_what_needs_two_encoders_is_refused_in_one_line(folder, tmp_path, run, command, message):
    name, *options = command
    code, _, err = run(name, "--model", f"text_only:{folder}", *options, "--output_path", tmp_path / "out.npz")
    assert (code, message in err) == (1, True), err


def test_captions_are_enough(folder, tmp_path, run):
    file = write_toy(tmp_path / "toy", ["a white dog", "a red car on the left", "the red car"])
    whole = clipbench.evaluate(f"text_only:{folder}", str(file)).tasks["toy_color"]
    for picture in (tmp_path / "toy").glob("*.png"):
        picture.unlink()
    code, out, err = run("eval", "--model", f"text_only:{folder}", "--tasks", file, "--format", "json")
    assert code == 0, err
    task = json.loads(out)["tasks"]["toy_color"]
    assert (task["complete"], task["missing_images"], task["problems"]) == (True, 0, [])
    row = json.loads(out)["results"]["toy_color"]
    assert (row["acc,none"], row["acc_stderr,none"]) == (whole.metrics["acc"].value, whole.metrics["acc"].stderr)
    code, _, err = run("eval", "--model", "demo", "--tasks", file)
    assert (code, "3 of 3 images missing" in err) == (1, True)
