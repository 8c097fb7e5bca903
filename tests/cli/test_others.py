import io
import json
import subprocess
import sys

import pytest

from tests.toy import write_toy


def test_negatives_as_a_filter(run, monkeypatch):
    text = "A white cat.\nNothing here\n  An orange  and a red fox\r\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
    code, out, _ = run("negatives", "--concept", "color")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [line["line"] for line in lines] == [1, 3]
    assert lines[0] == {
        "line": 1,
        "caption": "A white cat.",
        "keyword": "white",
        "start": 2,
        "variants": [f"A {c} cat." for c in ("blue", "red", "green", "yellow", "black", "brown", "gray", "orange")],
    }
    assert lines[1]["start"] == 5
    assert lines[1]["variants"][0] == "  An blue  and a red fox"


def test_negatives_with_a_concept_of_ones_own(run, tmp_path):
    (tmp_path / "c.yaml").write_text("name: c\nreplacements: {cat: [dog]}\n")
    (tmp_path / "captions.txt").write_text("a cat\n")
    _, out, _ = run("negatives", "--concept", tmp_path / "c.yaml", tmp_path / "captions.txt")
    assert json.loads(out)["variants"] == ["a dog"]
    code, _, err = run("negatives", "--concept", "shape")
    assert (code, err.count("\n")) == (2, 1)


def test_negatives_of_a_file_with_byte_order_marks(run, tmp_path, monkeypatch):
    """As Windows writes them; the second stems from a second file that was joined."""
    content = "\ufeffwhite cat\n\ufeffred dog\n".encode()
    (tmp_path / "captions.txt").write_bytes(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
    for place in (tmp_path / "captions.txt", "-"):
        _, out, _ = run("negatives", "--concept", "color", place)
        lines = [json.loads(line) for line in out.splitlines()]
        assert [(line["line"], line["caption"], line["start"]) for line in lines] == [
            (1, "white cat", 0),
            (2, "red dog", 0),
        ]


def test_captions_that_are_no_text(run, tmp_path):
    (tmp_path / "captions.txt").write_bytes(b"a white cat\na wh\xffite cat\n")
    code, _, err = run("negatives", "--concept", "color", tmp_path / "captions.txt")
    assert code == 1
    assert "not UTF-8" in err


def test_validate_counts_the_official_captions(run, coco_folder):
    code, out, _ = run(
        "validate", "--tasks", "coco_object,coco_color,coco_location,coco_size",
        "--data", f"coco={coco_folder}", "--format", "json", "--no_decode",
    )  # fmt: skip
    rows = {row["task"]: row for row in json.loads(out)}
    assert code == 0
    assert {name: row["n"] for name, row in rows.items()} == {
        "coco_object": 12_907, "coco_color": 3_907, "coco_location": 2_527, "coco_size": 2_601,
    }  # fmt: skip
    priors = {name: row["blind"]["keyword_prior"] for name, row in rows.items()}
    published = {"coco_object": 0.072, "coco_color": 0.256, "coco_location": 0.697, "coco_size": 0.640}
    assert priors == pytest.approx(published, abs=0.005)
    for row in rows.values():
        assert row["n"] == row["expected_n"]
        assert row["invalid"] == 0
        assert len(row["problems"]) == 1
        assert f"{row['missing_images']:,} of" in row["problems"][0]


def test_validate_reports_what_is_wrong(run, tmp_path):
    file = write_toy(tmp_path, expected_n=5)
    (tmp_path / "0.png").write_bytes(b"not an image")
    (tmp_path / "1.png").unlink()
    code, out, _ = run("validate", "--tasks", file, "--format", "json")
    (row,) = json.loads(out)
    assert code == 0
    assert (row["n"], row["expected_n"], row["missing_images"]) == (2, 5, 1)
    assert any("0.png" in problem for problem in row["problems"])
    assert any("2 samples where 5 are expected" in problem for problem in row["problems"])


def test_validate_says_what_needs_no_image(run, tmp_path):
    captions = ["the red car", "the red car", "the blue car", "the red bus"]
    file = write_toy(tmp_path, captions)
    code, out, _ = run("validate", "--tasks", f"{file},scenes_inpaint_size", "--limit", 4, "--format", "json")
    assert code == 0
    toy, pairs = json.loads(out)
    # "the blue car" loses to red; red, known from two other images, wins.
    assert (toy["blind"], pairs["blind"]) == ({"keyword_prior": 0.75, "context_prior": 0.75}, {})
    # Averaged over keywords: red is right on three of three captions, blue on none of one.
    averaged = {"acc_balanced": {"keyword_prior": 0.5, "context_prior": 0.5}}
    assert (toy["blind_balanced"], pairs["blind_balanced"]) == (averaged, {})
    code, out, _ = run("validate", "--tasks", file)
    assert (code, "keyword_prior 0.7500, context_prior 0.7500" in out) == (0, True)
    assert "acc_balanced: keyword_prior 0.5000, context_prior 0.5000" in out
    assert "None" not in out


def test_validate_fails_where_nothing_can_be_read(run, tmp_path):
    file = write_toy(tmp_path)
    (tmp_path / "toy.csv").unlink()
    code, out, err = run("validate", "--tasks", file, "--format", "json")
    assert code == 1
    assert json.loads(out)[0]["n"] == 0
    assert err.startswith("clipbench: error: toy_color: ")


def test_scenes_export_is_read_back_as_coco_and_as_inpaintcoco(capsys, run, tmp_path):
    code, out, _ = run("scenes", "export", tmp_path / "world", "--size", 4, "--pairs", 2)
    assert (code, out.strip()) == (0, str(tmp_path / "world"))
    code, out, _ = run(
        "validate", "--tasks", "scenes_retrieval,inpaintcoco_color", "--data", f"scenes={tmp_path / 'world'}",
        "--data", f"inpaintcoco={tmp_path / 'world/inpaint'}", "--format", "json",
    )  # fmt: skip
    assert code == 0
    assert [(row["n"], row["missing_images"]) for row in json.loads(out)] == [(4, 0), (2, 0)]
    code, _, err = run("scenes", "export", tmp_path / "world", "--split", "tset")
    assert (code, "'tset' is not one of" in err) == (2, True)


@pytest.mark.parametrize("kind", ["tasks", "groups", "tags", "models", "concepts"])
@pytest.mark.parametrize("style", ["table", "json", "markdown"])
def test_ls(run, kind, style):
    code, out, _ = run("ls", kind, "--format", style)
    assert code == 0
    expected = {"tasks": "inpaintcoco_size", "groups": "flickr30k", "tags": "color", "models": "open_clip"}
    assert expected.get(kind, "location") in out
    if style == "json":
        assert len(json.loads(out)) >= 3


def test_an_unknown_command_and_help(run):
    code, _, err = run("evil")
    assert (code, err) == (2, "clipbench: error: evil: no such command (did you mean eval?); --help lists them\n")
    code, out, _ = run("--help")
    assert (code, "validate" in out) == (0, True)


def test_what_must_be_quick_imports_no_torch(run, tmp_path):
    """`--help`, `ls` and bad flags answer at once."""
    script = """
import sys
from clipbench.cli import main
for arguments in (["--help"], ["ls", "tasks"], ["ls", "models"], ["eval", "--tasks", "nope", "--model", "x"]):
    try:
        main(arguments)
    except SystemExit:
        pass
heavy = {"torch", "transformers", "open_clip", "datasets", "pandas", "pyarrow"} & sys.modules.keys()
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # pydantic and numpy take half of what a listing may take; they are for files of users, results and scores.
    listing = script.replace('["ls", "models"], ["eval", "--tasks", "nope", "--model", "x"]', '["--version"]')
    listing = listing.replace('"pyarrow"', '"pyarrow", "pydantic", "numpy"')
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_is_no_error(run):
    command = f"{sys.executable} -m clipbench ls tasks | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert done.stderr == ""
