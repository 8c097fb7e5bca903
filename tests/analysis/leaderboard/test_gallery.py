"""What the gallery shows was decided on full scores, not on the digits that are shown."""

import json
import re

import numpy as np
import pytest

from clipbench.analysis.contact_sheet import shown_scores
from clipbench.analysis.leaderboard.gallery import find_samples
from clipbench.analysis.leaderboard.merge import build_leaderboard
from clipbench.analysis.leaderboard.page import html_page
from tests.analysis.leaderboard.builders import line, make_results, write


def payload(tmp_path, scores):
    """The page's data, of a model with these scores of the right text and two others, and one that is wrong."""
    right = {**line("1", scores[0] > max(scores[1:])), "scores": scores}
    write(tmp_path, make_results("a", {"t": 0.51234567, "u": 0.5}, breakdown={"red": 1 / 3}), {"t": [right]})
    other = {**line("1", right["acc"] == 0), "scores": [0.9, 0.1, 0.1] if right["acc"] == 0 else [0.1, 0.9, 0.1]}
    write(tmp_path, make_results("b", {"t": 0.51234568}, weights="b" * 64), {"t": [other]})
    board = build_leaderboard([tmp_path])
    found, _ = find_samples(board, 4)
    text = re.search(r'application/json">(.*?)</script>', html_page(board, found), re.DOTALL)[1]
    data = json.loads(text)
    return data, [model["label"] for model in data["models"]].index("a")


@pytest.mark.parametrize(
    ("scores", "first", "shown"),
    [
        ([0.49003, 0.48998, 0.1], [0], [["0.49003"], ["0.48998"], ["0.10000"]]),
        ([0.48998, 0.49003, 0.1], [1], [["0.48998"], ["0.49003"], ["0.10000"]]),
        ([0.3, 0.3, 0.1], [0, 1], [["0.300"], ["0.300"], ["0.100"]]),  # a real tie
        ([0.4996, 0.2, 0.1], [0], [["0.500"], ["0.200"], ["0.100"]]),
    ],
)
def test_the_text_that_is_first_is_the_one_with_the_highest_score(tmp_path, scores, first, shown):
    data, place = payload(tmp_path, scores)
    (sample,) = data["gallery"]["t"]
    answer = sample["answers"][str(place)]
    assert (answer["first"], answer["scores"], answer["right"]) == (first, shown, first == [0])


def test_pairs_have_no_first_text(tmp_path):
    logged = {"doc_id": "1", "group": "t", "images": ["i", "j"], "texts": ["x", "y"], "tied": False}
    for name, scores, right in (("a", [[0.5, 0.4], [0.1, 0.5]], 1.0), ("b", [[0.1, 0.2], [0.3, 0.4]], 0.0)):
        results = make_results(name, {"t": right}, weights=name * 64, task_type="pairs")
        write(tmp_path, results, {"t": [{**logged, "scores": scores, "acc": right}]})
    found, _ = find_samples(build_leaderboard([tmp_path]), 4)
    answer = next(answer for model, answer in found.samples["t"][0]["answers"].items() if model.startswith("a"))
    assert (answer["first"], answer["scores"]) == ([], [("0.500", "0.100"), ("0.400", "0.500")])
    assert answer["image"] == [0, 1]


def test_scores_of_two_images_are_told_apart_too():
    assert shown_scores([[0.5151, 0.2], [0.5149, 0.2]], [0, 1]) == [("0.5151", "0.5149"), ("0.2000", "0.2000")]


def test_the_page_holds_values_to_their_last_digit(tmp_path):
    data, place = payload(tmp_path, [0.9, 0.1, 0.1])
    assert data["tasks"]["t"]["scores"][str(place)]["value"] == 0.51234567
    assert data["tasks"]["t"]["scores"][str(place)]["breakdown"] == {"red": [10, 1 / 3]}
    labels = [model["label"] for model in data["models"]]
    assert labels == ["b", "a"]  # by 0.51234568 and 0.51234567, which six digits do not tell apart


def test_float32_neighbors_are_told_apart():
    score = np.float32(0.3)
    texts = shown_scores([[float(score), float(np.nextafter(score, np.float32(1)))]], [0, 1])
    assert texts[0] != texts[1]


def test_samples_beyond_the_size_are_left_out_of_all_tasks_alike(tmp_path):
    for name, mark in (("a", "+"), ("b", "-")):
        results = make_results(name, {"t": 0.5, "u": 0.5}, weights=name * 64)
        logs = {task: [line(str(n), mark == "+") for n in range(6)] for task in ("t", "u")}
        write(tmp_path, results, logs)
    board = build_leaderboard([tmp_path])
    whole, _ = find_samples(board, 12)
    assert [len(samples) for samples in whole.samples.values()] == [6, 6]
    size = len(json.dumps(whole.samples["t"]))
    small, problems = find_samples(board, 12, most_bytes=size)
    assert [len(samples) for samples in small.samples.values()] == [3, 3]
    assert problems[-1] == "gallery: 6 samples left out to keep the page small; ask for a smaller one"


def test_one_model_has_failures_and_confusions(tmp_path):
    lines = [line("0", True), *(line(str(n), False, best=1 + n % 2) for n in range(1, 5))]
    write(tmp_path, make_results("a", {"t": 0.2}), {"t": lines})
    found, _ = find_samples(build_leaderboard([tmp_path]), 2)
    assert {sample["id"] for sample in found.samples["t"]} < {"1", "2", "3", "4"}
    confused = {tuple(answer["confused"]) for sample in found.samples["t"] for answer in sample["answers"].values()}
    assert confused == {("red", "blue"), ("red", "green")}
