"""One damaged file is named in one line, the rest goes on, and the exit code is 1."""

import json
import os

import pytest

from clipbench.analysis.leaderboard.board import read_board
from clipbench.analysis.tradeoff import Point, Score, Tradeoff
from tests.analysis.leaderboard.builders import lines, make_results, write
from tests.toy import write_toy

GOOD = make_results("good", {"t": 0.5}).to_json()
DAMAGED = {
    "name with a slash": GOOD.replace('"t"', '"a/b"'),
    "long name": GOOD.replace('"t"', f'"{"x" * 300}"'),
    "half a character": GOOD.replace('"good"', '"\\ud800"', 1),
    "no task": '{"schema_version": 2, "tasks": {}}',
    "5,000 digits": GOOD.replace('"seconds": 0.0', f'"seconds": {"9" * 5_000}'),
    "deep": GOOD.replace('"model_info": {', '"model_info": {"x": ' + "[" * 900 + "]" * 900 + ", "),
    "deeper": "[" * 100_000,
    "truncated": GOOD[:-100],
    "a key twice": GOOD.replace('"complete": true', '"complete": false, "complete": true'),
    "negative n": GOOD.replace('"effective": 100', '"effective": -100'),
    "NaN": GOOD.replace('"chance": 0.25', '"chance": NaN'),
    "empty": "",
}


def one_line(err, path):
    assert err.count("\n") == 1, err
    assert str(path) in err
    assert len(err) < len(str(path)) + 400


@pytest.mark.parametrize("kind", DAMAGED)
def test_leaderboard(run, tmp_path, kind):
    write(tmp_path / "out", make_results("good", {"t": 0.5}))
    path = tmp_path / "out" / "results_x.json"
    path.write_text(DAMAGED[kind])
    code, _, err = run("leaderboard", tmp_path / "out", "-o", tmp_path / "b.json")
    assert code == 1
    one_line(err, path)
    board = read_board(tmp_path / "b.json")
    assert [facts.name for facts in board.models.values()] == ["good"]
    assert [refusal.file for refusal in board.refused] == [str(path)]
    code, _, err = run("leaderboard", path)
    assert code == 1
    one_line(err, path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_leaderboard_of_a_pipe_a_folder_and_a_name_of_odd_bytes(run, tmp_path):
    write(tmp_path, make_results("good", {"t": 0.5}))
    os.mkfifo(tmp_path / "results_pipe.json")
    (tmp_path / "results_folder.json").mkdir()
    odd = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(odd)  # noqa: PTH102  # bytes
    with open(odd + b"/results_1.json", "w") as file:  # noqa: PTH123
        file.write(make_results("odd", {"t": 0.25}, weights="b" * 64).to_json())
    code, _, err = run("leaderboard", tmp_path, "-o", tmp_path / "b.json")
    assert (code, err.count("\n")) == (1, 2)
    assert sorted(facts.name for facts in read_board(tmp_path / "b.json").models.values()) == ["good", "odd"]


@pytest.mark.parametrize("command", ["show", "compare", "rescore", "leaderboard", "push", "tradeoff"])
def test_a_place_that_no_file_system_has(run, tmp_path, command):
    place = tmp_path / ("x" * 5_000)
    more = {"show": ["-t", "t"], "compare": [tmp_path], "push": ["--model_repo", "me/x", "--dry_run"],
            "tradeoff": ["-o", tmp_path / "o"]}  # fmt: skip
    code, _, err = run(command, place, *more.get(command, []))
    assert (code, err.count("\n")) == (1, 1)


@pytest.fixture
def logged(tmp_path):
    """Two runs of two tasks; the log of one is truncated in one run."""
    samples = {task: [{**line, "task": task} for line in lines("+-+-")] for task in ("scenes_color", "scenes_size")}
    paths = [
        write(tmp_path, make_results(name, dict.fromkeys(samples, 0.5), weights=name * 64, n=4), samples)
        for name in "ab"
    ]
    (log,) = paths[0].parent.glob("samples_scenes_color*")
    log.write_bytes(log.read_bytes()[:-30])
    return (*paths, log)


def test_rescore(run, logged):
    code, out, err = run("rescore", logged[0], "--format", "json")
    assert (code, list(json.loads(out))) == (1, ["scenes_size"])
    one_line(err, logged[2])


def test_compare(run, logged):
    code, out, err = run("compare", logged[0], logged[1], "--format", "json")
    assert (code, [each["task"] for each in json.loads(out)]) == (1, ["scenes_size"])
    one_line(err, logged[2])


def test_a_model_is_not_compared_with_itself_unsaid(run, logged):
    out = logged[1].parent.parent
    logged[0].parent.rename(out.parent / "elsewhere")
    _, _, err = run("compare", out, logged[1].parent)
    assert err.count("a model compared with itself") == 2


def test_show(run, tmp_path, monkeypatch):
    write_toy(tmp_path / "data")
    samples = {task: [{**line, "task": task} for line in lines("-")] for task in ("scenes_color", "scenes_size")}
    path = write(tmp_path, make_results(values=dict.fromkeys(samples, 0.5)), samples)
    (log,) = path.parent.glob("samples_scenes_color*")
    log.write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    code, _, err = run("show", path, "-t", "scenes_*")
    assert code == 1
    assert [f"{log}:1: not a sample of scenes_color" in err, "no longer in the data of scenes_size" in err] == [
        True
    ] * 2
    assert err.count("\n") == 2


def test_tradeoff(run, tmp_path):
    retrieval, color = (
        Score(task=task, version=1, metric="acc", value=0.5, n=100) for task in ("scenes_retrieval", "scenes_color")
    )
    point = Point(curve="c", label="1", retrieval=retrieval, concepts=(color,))
    for name, text in (("a", Tradeoff(title="t", points=(point,)).model_dump_json()), ("b", "{"), ("c", "[" * 100_000),
                       ("d", '{"schema_version": 1, "title": "t", "points": []}')):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "tradeoff.json").write_text(text)
    code, out, err = run("tradeoff", *(tmp_path / name for name in "abcd"), "-o", tmp_path / "figure")
    assert (code, len(out.splitlines()), err.count("\n")) == (1, 3, 3)
    code, _, err = run("tradeoff", tmp_path / "b", "-o", tmp_path / "other")
    assert code == 1
    one_line(err, tmp_path / "b")
    assert not (tmp_path / "other").exists()
