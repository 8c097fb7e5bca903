"""Cards and best models against numbers computed by hand."""

import math

import pytest

from clipbench.analysis.leaderboard.differences import difference
from clipbench.analysis.leaderboard.lineage import base_of, finetuned_of, set_bases
from clipbench.analysis.leaderboard.logs import BoardLogs
from clipbench.analysis.leaderboard.merge import build_leaderboard
from clipbench.analysis.leaderboard.significance import p_values_against_best, significant_leaders
from clipbench.analysis.leaderboard.summary import Summary
from clipbench.errors import UnknownName
from clipbench.results import Interpolation
from tests.analysis.leaderboard.builders import lines, make_results, write


def board_of(folder, models):
    """Models to their scores by task: ``color`` and ``size`` test these concepts, ``find`` is retrieval."""
    for number, (name, scores) in enumerate(models.items()):
        concepts = {task: value for task, value in scores.items() if task != "find"}
        results = make_results(name, concepts, weights=f"{number:064d}")
        for task in concepts:
            results.tasks[task].declaration["concept"] = task
        if "find" in scores:
            retrieval = make_results(name, {"find": scores["find"]}, task_type="retrieval", metric="t2i_recall@5")
            retrieval.tasks["find"].declaration["concept"] = None
            results.tasks |= retrieval.tasks
        write(folder, results)
    return build_leaderboard([folder])


def keys(board):
    return {facts.name: key for key, facts in board.models.items()}


def test_a_card_by_hand(tmp_path):
    board = board_of(tmp_path, {"base": {"color": 0.4, "size": 0.55, "find": 0.8},
                                "tuned": {"color": 0.7, "size": 0.25, "find": 0.75}})  # fmt: skip
    set_bases(board, {"tuned": "base"})
    base, tuned = (next(card for card in Summary(board).cards() if card.model == keys(board)[name])
                   for name in ("base", "tuned"))  # fmt: skip
    # chance is 1/4: color (0.4 − 0.25) / 0.75 = 0.2, size 0.4
    assert base.above_chance.value == pytest.approx(0.3)
    assert base.above_chance.stderr == pytest.approx(math.sqrt(2) * (0.01 / 0.75) / 2)
    assert {name: estimate.value for name, estimate in base.concepts.items()} == {
        "size": pytest.approx(0.4), "color": pytest.approx(0.2)
    }  # fmt: skip
    assert (list(base.concepts), list(tuned.concepts)) == (["size", "color"], ["color", "size"])
    assert (base.mean_rank, base.place, tuned.mean_rank, tuned.place) == (4 / 3, 1, 5 / 3, 2)
    assert (base.base, base.changes, tuned.base) == (None, {}, keys(board)["base"])
    changes = {name: change.value for name, change in tuned.changes.items()}
    assert changes == pytest.approx({"color": 0.3, "size": -0.3, "find": -0.05})
    assert tuned.changes["find"].reach == pytest.approx(1.959964 * 0.01 * math.sqrt(2))
    assert all(change.significant for change in tuned.changes.values())
    assert [(task, estimate.value) for task, estimate in tuned.retrieval.items()] == [("find", 0.75)]


def test_a_model_without_all_tasks_of_a_concept_says_so(tmp_path):
    board = board_of(tmp_path, {"whole": {"color": 0.6, "size": 0.5}, "part": {"color": 0.9}})
    cards = {card.model: card for card in Summary(board).cards()}
    part = cards[keys(board)["part"]]
    assert (part.tasks, part.of_tasks, list(part.concepts)) == (1, 2, ["color"])
    leaders = {leader.concept: leader for leader in Summary(board).leaders()}
    assert list(leaders) == ["color"]  # for size there is nothing to compare with
    assert (leaders["color"].model, leaders["color"].next) == (keys(board)["part"], keys(board)["whole"])


@pytest.mark.parametrize(("second", "significant"), [(0.66, True), (0.68, False)])
def test_the_best_at_a_concept_is_tested(tmp_path, second, significant):
    # of three models, two differences: 0.7 − 0.66 is 2.83 standard errors, p = .0047; 0.02 is 1.41, p = .157
    board = board_of(tmp_path, {"a": {"color": 0.7}, "b": {"color": second}, "c": {"color": 0.3}})
    (leader,) = Summary(board).leaders()
    assert (leader.model, leader.significant) == (keys(board)["a"], significant)
    assert leader.ahead.value == pytest.approx(0.7 - second)


def test_a_difference_of_logged_samples_is_paired(tmp_path):
    """Six images with one sample each; the differences are 1, 1, 0, 0, 0, 0."""
    for name, pattern in (("a", "+++---"), ("b", "--+---")):
        right = pattern.count("+") / 6
        write(tmp_path, make_results(name, {"t": right}, weights=name * 64, stderr=0.2), {"t": lines(pattern)})
    board = build_leaderboard([tmp_path])
    one, other = (board.score(keys(board)[name], "t") for name in ("a", "b"))
    paired, independent = difference(one, other, BoardLogs(board)), difference(one, other)
    assert paired.value == independent.value == pytest.approx(1 / 3)
    # Σ (d − 1/3)² = 2 · 4/9 + 4 · 1/9 = 4/3; √(6/5 · 4/3) / 6
    assert paired.stderr == pytest.approx(math.sqrt(6 / 5 * 4 / 3) / 6)
    assert independent.stderr == pytest.approx(0.2 * math.sqrt(2))


def test_only_a_model_better_than_all_others_leads(tmp_path):
    board = board_of(tmp_path, {"a": {"color": 0.9, "size": 0.50}, "b": {"color": 0.5, "size": 0.49},
                                "c": {"color": 0.5, "size": 0.30}})  # fmt: skip
    assert significant_leaders(p_values_against_best(board), board) == {"color": keys(board)["a"]}


def test_a_single_model_leads_nothing(tmp_path):
    board = board_of(tmp_path, {"a": {"color": 0.9}})
    assert significant_leaders(p_values_against_best(board), board) == {}
    assert Summary(board).leaders() == []


def test_results_say_what_a_model_was_made_from(tmp_path):
    write(tmp_path, make_results("base", weights="a" * 64))
    tuned = make_results("tuned", weights="b" * 64)
    tuned.model_info["base_fingerprint"] = "a" * 64
    write(tmp_path, tuned)
    between = make_results("between", weights="c" * 64)
    between.interpolation = Interpolation(base="a" * 64, finetuned="b" * 64, alpha=0.25, inputs="")
    write(tmp_path, between)
    board = build_leaderboard([tmp_path])
    found = keys(board)
    assert {name: base_of(board, key) for name, key in found.items()} == {
        "base": None, "tuned": found["base"], "between": found["base"]
    }  # fmt: skip
    assert (finetuned_of(board, found["between"]), board.models[found["between"]].alpha) == (found["tuned"], 0.25)


def test_bases_are_named_by_hand(tmp_path):
    board = board_of(tmp_path, {name: {"color": 0.5} for name in ("base", "one", "two")})
    set_bases(board, {"*": "base"})
    found = keys(board)
    assert [base_of(board, found[name]) for name in ("base", "one", "two")] == [None, found["base"], found["base"]]
    with pytest.raises(UnknownName, match="no model 'bass' on the board \\(did you mean base\\?\\)"):
        set_bases(board, {"one": "bass"})
