"""What a rule that sees no image has, on boards: beside every score, and said where a model has no more."""

import csv
import io
import json
import re

import pytest

from clipbench.analysis.leaderboard.board import Board
from clipbench.analysis.leaderboard.merge import build_leaderboard
from clipbench.analysis.leaderboard.page import html_page
from clipbench.analysis.leaderboard.paper_table import to_latex, to_markdown
from clipbench.analysis.leaderboard.tables import legend, to_csv
from tests.analysis.leaderboard.builders import make_results, write

BLIND = {"keyword_prior": 0.697, "context_prior": 0.788}
BALANCED = {"acc_balanced": {"keyword_prior": 0.5, "context_prior": 0.621}}


@pytest.fixture
def board(tmp_path):
    for number, (model, value) in enumerate({"good": 0.9, "equal": 0.788, "weak": 0.58}.items()):
        results = make_results(model, {"coco_location": value, "other": value}, weights=str(number) * 64)
        results.tasks["coco_location"].blind = dict(BLIND)
        results.tasks["coco_location"].blind_balanced = dict(BALANCED)
        write(tmp_path, results)
    return build_leaderboard([tmp_path], reference=True)


def test_scores_at_or_below_it_are_named_the_published_ones_too(board):
    named = {board.models[score.model].label: score.below_blind for score in board.scores if score.task != "other"}
    assert {label: named[label] for label in ("good", "equal", "weak")} == {"good": False, "equal": True, "weak": True}
    published = [score for score in board.scores if score.published and score.task == "coco_location"]
    assert {(score.value, score.below_blind) for score in published} >= {(0.58, True), (0.89, False), (0.91, False)}
    (note,) = (note for note in board.notes if "sees no image" in note)
    assert note.startswith("coco_location: ")
    assert "weak (0.580)" in note
    assert "good" not in note
    assert "location" in note.partition("weak")[2]  # the paper's, after those measured
    assert note.endswith("are not above the best rule that sees no image (context_prior 0.788)")
    assert all(not score.blind for score in board.scores if score.task == "other")


def test_a_board_keeps_it_and_merging_changes_nothing(board, tmp_path):
    assert Board.model_validate_json(board.to_json()) == board
    measured = [score for score in board.scores if score.task == "coco_location" and not score.published]
    assert [score.blind_balanced for score in measured] == [BALANCED] * 3
    (tmp_path / "board.json").write_text(board.to_json())
    again = build_leaderboard([tmp_path / "board.json"])
    assert (again.scores, again.notes) == (board.scores, board.notes)
    older = json.loads(board.to_json())
    for score in [*older["scores"], *older["history"]]:
        del score["blind"], score["blind_balanced"]
    assert not any(score.below_blind for score in Board.model_validate(older).scores)


def test_tables_mark_them(board):
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(to_csv(board))) if row["task"] == "coco_location"}
    assert (rows["weak"]["blind"], rows["good"]["blind"]) == ("0.788", "0.788")
    assert r"| 58.0† ± 1.0 \*B |" in to_markdown(board)
    assert r"58.0\textsuperscript{\dag} {\footnotesize $\pm$ 1.0} *B &" in to_latex(board)
    assert "*B: not above the best rule that sees no image" in legend(board)


def test_the_page_draws_it(board):
    text = re.search(r'application/json">(.*?)</script>', html_page(board), re.DOTALL)[1]
    payload = json.loads(text)
    location = payload["tasks"]["coco_location"]["scores"].values()
    assert [score["blind"] for score in location] == [0.788] * len(location)
    assert all("keyword prior 69.7, context prior 78.8" in score["facts"] for score in location)
    assert {name: task["blind"] for name, task in payload["tasks"].items()} == {"coco_location": 0.788, "other": None}
