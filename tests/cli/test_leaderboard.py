import csv
import io
import json
import re

import jsonschema
import pytest

from clipbench.analysis.leaderboard.board import Board, read_board
from tests.analysis.leaderboard.builders import lines, make_results, write


@pytest.fixture
def results(tmp_path):
    write(tmp_path / "out", make_results("a", {"t": 0.75, "u": 0.5}), {"t": lines("+++-")})
    write(tmp_path / "out", make_results("b", {"t": 0.25}, weights="b" * 64), {"t": lines("--+-")})
    return tmp_path / "out"


def test_a_table_on_the_terminal(run, results):
    code, out, err = run("leaderboard", results)
    assert (code, err) == (0, "")
    header, _, first, second = out.splitlines()
    assert header.split() == ["Model", "t", "u"]
    assert first.split() == ["a", "0.750", "±", "0.010", "0.500", "±", "0.010"]
    assert second.split() == ["b", "0.250", "±", "0.010"]


def test_the_board_is_json_after_its_schema_and_merges(run, results, tmp_path):
    target = tmp_path / "boards/leaderboard.json"
    assert run("leaderboard", results / "a", "-o", target)[0] == 0
    assert run("leaderboard", results / "b", "-o", target)[0] == 0
    jsonschema.validate(json.loads(target.read_text()), Board.model_json_schema())
    assert sorted(facts.name for facts in read_board(target).models.values()) == ["a", "b"]
    code, out, _ = run("leaderboard", target, "--format", "csv")
    assert (code, len(list(csv.DictReader(io.StringIO(out))))) == (0, 3)


def test_the_page_has_a_title_and_compares_with_a_base(run, results, tmp_path):
    target = tmp_path / "board.html"
    code, _, _ = run("leaderboard", results, "-o", target, "--title", "Ours | <three> tasks", "--base", "b=a")
    assert code == 0
    text = target.read_text(encoding="utf-8")
    assert "<h1>Ours</h1>" in text
    assert '<p class="subtitle">&lt;three&gt; tasks</p>' in text
    assert "Against a" in text
    code, _, err = run("leaderboard", results, "-o", target, "--base", "nobody")
    assert (code, "no model 'nobody' on the board" in err) == (2, True)


@pytest.mark.parametrize(
    ("style", "suffix"), [("html", ".html"), ("markdown", ".md"), ("latex", ".tex"), ("csv", ".csv")]
)
def test_other_formats_go_beside_the_board(run, results, tmp_path, style, suffix):
    code, out, _ = run("leaderboard", results, "-o", tmp_path / "b.json", "--format", style, "--gallery", 0)
    assert code == 0
    assert out.splitlines() == [str(tmp_path / f"b{suffix}"), str(tmp_path / "b.json")]
    assert re.search(r"\b(0\.75|75\.0)\b", (tmp_path / f"b{suffix}").read_text())


@pytest.mark.parametrize(
    ("suffix", "start"), [(".csv", "model,"), (".md", "|"), (".tex", "\\begin"), (".html", "<!doctype html>")]
)
def test_the_suffix_decides_the_format(run, results, tmp_path, suffix, start):
    code, out, err = run("leaderboard", results, "-o", tmp_path / f"board{suffix}")
    assert (code, out) == (0, f"{tmp_path}/board{suffix}\n"), err
    text = (tmp_path / f"board{suffix}").read_text()
    assert start.lower() in text[:400].lower()
    assert not (tmp_path / "board.json").exists()


def test_what_is_refused_is_named_and_the_rest_is_kept(run, results, tmp_path):
    (results / "results_broken.json").write_text('{"schema_version": 1, "resu')
    code, _, err = run("leaderboard", results, "-o", tmp_path / "b.json")
    assert code == 1
    assert "results_broken.json: not a readable result file" in err
    assert len(read_board(tmp_path / "b.json").scores) == 3


def test_a_gallery_without_its_data_is_told_and_the_page_is_made(run, results, tmp_path):
    code, _, err = run("leaderboard", results, "-o", tmp_path / "b.json", "--format", "html")
    assert code == 0
    assert "t: the gallery is without images: unknown task" in err
    assert "image not available" in (tmp_path / "b.html").read_text()


def test_published_figures(run):
    code, out, _ = run("leaderboard", "--reference", "--format", "markdown")
    assert code == 0
    assert "| HN3 color, epoch 3 (published) |" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "name results, or --reference"),
        (["nowhere"], 1, "no results_*.json there"),
        (["OUT", "-o", "board.gif"], 2, "the suffix is none of .json, .csv, .md, .tex, .html"),
        (["OUT", "-o", "board.html", "--format", "csv"], 2, "board.html is html, but --format is csv"),
        (["OUT", "-o", "OUT/a/taken.json"], 1, "not a clipbench leaderboard; choose another --output_path"),
    ],
)
def test_bad_usage(run, results, arguments, code, message):
    (results / "a/taken.json").write_text("{}")
    found, _, err = run("leaderboard", *[argument.replace("OUT", str(results)) for argument in arguments])
    assert (found, message in err, err.count("\n")) == (code, True, 1)


def test_compare(run, results):
    code, out, err = run("compare", results / "a", results / "b", "--flips", 2)
    assert (code, err.splitlines()) == (
        0, [f"clipbench: A is a ({results / 'a'})", f"clipbench: B is b ({results / 'b'})"]
    )  # fmt: skip
    cells = [re.split("  +", line) for line in out.splitlines()]
    assert cells[0] == ["task", "A", "B", "B − A", "p (Holm)", "verdict"]
    assert cells[2] == ["t", "0.7500", "0.2500", "-0.5000", "0.5000", "not significant"]
    assert "t: only A has it right: 0" in out
    code, out, _ = run("compare", results / "a", results / "b", "--format", "json")
    assert json.loads(out)[0]["only_a"] == ["0", "1"]
    _, out, _ = run("compare", results / "a", results / "b", "--wide")
    row = out.splitlines()[2].split()
    assert row[:7] == ["t", "acc", "4", "4", "0.7500", "0.2500", "-0.5000"]


def test_compare_says_plainly_that_samples_differ(run, results, tmp_path):
    write(tmp_path / "c", make_results("c"), {"t": lines("+")})
    _, _, err = run("compare", results / "a", tmp_path / "c")
    assert "did not see the same samples" in err


def test_rescore(run, tmp_path):
    samples = [{**line, "task": "scenes_color"} for line in lines("+-+-")]
    path = write(
        tmp_path,
        make_results(values={"scenes_color": 0.9}),
        {"scenes_color": [*samples[:3], {**samples[3], "acc": 1.0}]},
    )
    code, out, err = run("rescore", path, "--format", "json")
    found = json.loads(out)["scenes_color"]
    assert (code, found["metrics"]["acc"]["value"], found["changed"]) == (0, 0.5, ["3"])
    assert "1 samples have another outcome than was logged" in err
    _, out, _ = run("rescore", path)
    assert out.splitlines()[2].split() == ["scenes_color", "acc", "0.5000", "±", "0.2887", "4", "1"]


def test_push_needs_a_place(run, results):
    code, _, err = run("push", results)
    assert (code, "name --model_repo, --dataset_repo, --benchmark_repo or --space" in err) == (2, True)


def test_scores_of_other_data_are_set_apart_and_it_is_said(run, tmp_path):
    write(tmp_path, make_results("one", {"t": 1.0}, n=1))
    write(tmp_path, make_results("real", {"t": 0.5}, weights="b" * 64))
    code, out, err = run("leaderboard", tmp_path)
    assert code == 0
    assert [row.split()[0] for row in out.splitlines()[2:]] == ["real", "one"]
    assert "1.000 ± 0.010 *D" in out
    assert "--rank_mixed ranks them" in err
    assert "*D: other data, or another number of samples" in err
    _, out, err = run("leaderboard", tmp_path, "--rank_mixed")
    assert [row.split()[0] for row in out.splitlines()[2:]] == ["one", "real"]
    assert "ranked with them anyway" in err


def test_a_failed_run_leaves_no_folder(run, tmp_path):
    (tmp_path / "results_x.json").write_text("{")
    code, _, err = run("leaderboard", tmp_path, "-o", tmp_path / "new" / "b.json")
    assert (code, err.count("\n")) == (1, 1)
    assert not (tmp_path / "new").exists()


def test_a_table_for_a_paper(run, results):
    code, out, _ = run("leaderboard", results, "--format", "latex", "--transpose", "--uncertainty", "interval",
                       "--caption", "All of it", "--label", "tab:all")  # fmt: skip
    assert code == 0
    assert out.index(r"\caption{All of it}") < out.index(r"\label{tab:all}") < out.index("Task & a")
    assert "[73.0, 77.0]" in out  # 0.75 ± 1.96 × 0.01


@pytest.mark.parametrize(
    ("style", "flags", "said"),
    [("markdown", ["--label", "a"], "--label is for LaTeX, not for markdown"),
     ("csv", ["--transpose"], "--transpose is for LaTeX and Markdown, not for csv"),
     ("table", ["--caption", "a"], "--caption is for LaTeX and Markdown, not for table"),
     ("latex", ["--label", "a}b"], "give letters, digits")],
)  # fmt: skip
def test_flags_that_a_format_has_no_use_for_are_refused(run, results, style, flags, said):
    code, out, err = run("leaderboard", results, "--format", style, *flags)
    assert (code, out) == (2, "")
    assert said in err
