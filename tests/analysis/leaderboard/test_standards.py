"""Scores over other data or another number of samples do not stand in one ranking."""

import random

import pytest

from clipbench import build_leaderboard
from clipbench.analysis.leaderboard.board import read_board, write_board
from tests.analysis.leaderboard.builders import make_results, write


def run(folder, name, value, n=1_181, data="rows", day=0, task="scenes_location", version=1):
    results = make_results(name, {task: value}, n=n, weights=name * 64, day=day, version=version)
    results.tasks[task].data["fingerprint"] = data
    return write(folder / data, results)


def ranks(board):
    return {board.models[score.model].name: (score.rank, score.flags) for score in board.scores}


def test_one_sample_never_ranks_above_a_thousand(tmp_path):
    """The file that was found: a task of a built-in's name with one sample."""
    run(tmp_path, "a", 1.0, n=1)
    run(tmp_path, "b", 0.5)
    board = build_leaderboard([tmp_path])
    assert ranks(board) == {"a": (None, ["other_data"]), "b": (1, [])}
    (note,) = board.notes
    assert "scenes_location: ranks are over n = 1,181 of data rows" in note
    assert "have no rank (rank_mixed ranks them): a (n = 1 of data rows)" in note


def test_a_bundled_task_ranks_its_expected_number_however_many_others_there_are(tmp_path):
    run(tmp_path, "a", 0.5)
    for name in "bcd":
        run(tmp_path, name, 0.9, n=2_000)
    assert ranks(build_leaderboard([tmp_path]))["a"] == (1, [])
    assert [score.rank for score in build_leaderboard([tmp_path]).scores] == [1, None, None, None]


def test_of_a_task_that_nobody_knows_the_data_of_most_models_is_ranked(tmp_path):
    run(tmp_path, "a", 0.9, n=500, data="others", task="t")
    for name, value in {"b": 0.5, "c": 0.7}.items():
        run(tmp_path, name, value, n=100, task="t")
    assert ranks(build_leaderboard([tmp_path])) == {"a": (None, ["other_data"]), "b": (2, []), "c": (1, [])}


def test_the_same_number_of_other_samples_is_set_apart_too(tmp_path):
    run(tmp_path, "a", 0.9, data="x")
    run(tmp_path, "b", 0.5, data="y")
    run(tmp_path, "c", 0.4, data="y")
    assert ranks(build_leaderboard([tmp_path])) == {"a": (None, ["other_data"]), "b": (1, []), "c": (2, [])}


def test_a_run_on_the_ranked_data_counts_before_a_newer_one_on_other_data(tmp_path):
    run(tmp_path, "a", 0.5, day=1)
    run(tmp_path, "a", 1.0, n=1, day=2)
    run(tmp_path, "b", 0.4)
    board = build_leaderboard([tmp_path])
    assert ranks(board) == {"a": (1, []), "b": (2, [])}
    assert [(score.value, score.flags) for score in board.history] == [(1.0, ["other_data"]), (0.5, [])]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_merging_does_not_decide(tmp_path, seed):
    paths = [run(tmp_path, name, 0.5, n=n, data=data) for name, n, data in
             [("a", 1, "x"), ("b", 1_181, "x"), ("c", 1_181, "y"), ("d", 1_181, "y"), ("e", 7, "y")]]  # fmt: skip
    expected = ranks(build_leaderboard(paths))
    assert {name for name, (rank, _) in expected.items() if rank} == {"c", "d"}
    random.Random(seed).shuffle(paths)
    target = tmp_path / "b.json"
    for path in paths:
        write_board(target, build_leaderboard([path], board=target))
    assert ranks(read_board(target)) == expected


def test_a_mean_over_a_group_takes_the_ranked_data_only(tmp_path):
    for name, n in (("a", 1), ("b", 100), ("c", 100)):
        results = make_results(name, {"x": 0.6, "y": 0.8}, groups=("pair",), weights=name * 64)
        results.tasks["x"].counts = results.tasks["x"].counts.model_copy(update={"effective": n})
        write(tmp_path, results)
    assert [mean.model[0] for mean in build_leaderboard([tmp_path]).means] == ["b", "c"]
    assert [mean.model[0] for mean in build_leaderboard([tmp_path], rank_mixed=True).means] == ["a", "b", "c"]


def test_rank_mixed_ranks_all_and_keeps_the_marks(tmp_path):
    run(tmp_path, "a", 1.0, n=1)
    run(tmp_path, "b", 0.5)
    run(tmp_path, "c", 0.7, version=0)
    write(tmp_path, make_results("limited", {"scenes_location": 1.0}, limit=3, weights="1" * 64))
    board = build_leaderboard([tmp_path], rank_mixed=True)
    assert ranks(board) == {
        "a": (1, ["other_data"]), "b": (3, []), "c": (2, ["old_version"]), "limited": (None, ["limited"]),
    }  # fmt: skip
    assert "are ranked with them anyway: a (n = 1 of data rows)" in board.notes[0]
