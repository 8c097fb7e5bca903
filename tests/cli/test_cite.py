import re

import pytest

from tests.analysis.leaderboard.builders import make_results, write
from tests.toy import write_toy


def keys(text):
    return re.findall(r"^@\w+\{([^,]+),", text, re.MULTILINE)


def test_named_tasks(run):
    code, out, err = run("cite", "--tasks", "coco_color,winoground")
    assert (code, err) == (0, "")
    assert keys(out) == ["rosch2024enhancing", "lin2014microsoft", "chen2015microsoft", "thrush2022winoground"]


def test_tasks_of_results_and_boards(run, tmp_path):
    write(tmp_path / "out", make_results("m", {"coco_color": 0.5, "scenes_color": 0.5}))
    board, target = tmp_path / "board.json", tmp_path / "references.bib"
    assert run("leaderboard", tmp_path / "out", "-o", board)[0] == 0
    for source in (tmp_path / "out", board):
        code, out, err = run("cite", source, "--tasks", "coco_color", "-o", target)
        assert (code, out) == (0, f"{target}\n")
        assert "no reference for scenes_color" in err
        assert keys(target.read_text()) == ["rosch2024enhancing", "lin2014microsoft", "chen2015microsoft"]


def test_tasks_that_are_not_known_are_named_and_the_others_written(run, tmp_path):
    write(tmp_path / "out", make_results("m", {"coco_color": 0.5, "toy_color": 0.5}))
    code, out, err = run("cite", tmp_path / "out")
    assert (code, len(keys(out))) == (1, 3)
    assert "toy_color: unknown task: name its file with --include_path" in err
    task = write_toy(tmp_path / "toy", references=["@misc{toy,\n  title = {Toy},\n}"])
    code, out, err = run("cite", tmp_path / "out", "--include_path", task)
    assert (code, err, keys(out)[-1]) == (0, "", "toy")


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--tasks", "coco_colour"], 2), (["nowhere"], 1)])
def test_mistakes(run, tmp_path, monkeypatch, arguments, code):
    monkeypatch.chdir(tmp_path)
    found, out, err = run("cite", *arguments)
    assert (found, out, err.count("\n")) == (code, "", 1)
