"""`clipbench eval --model text_only:…`: a language model needs no photograph."""

import json

import clipbench
from tests.seeded import build_language_model
from tests.toy import write_toy


def test_captions_are_enough(tmp_path, run):
    folder = build_language_model(tmp_path / "gpt2")
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
