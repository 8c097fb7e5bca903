"""A page of four models, and a browser."""

import pytest
import yaml

from clipbench.analysis.leaderboard.gallery import find_samples
from clipbench.analysis.leaderboard.lineage import set_bases
from clipbench.analysis.leaderboard.logs import BoardLogs
from clipbench.analysis.leaderboard.merge import build_leaderboard
from clipbench.analysis.leaderboard.page import html_page
from tests.analysis.leaderboard.builders import line, make_results, write
from tests.analysis.leaderboard.pages import EVIL, MODELS, PATTERNS
from tests.browser import Browser
from tests.toy import write_toy


def samples(pattern):
    logged = [line(f"{n}.png", mark == "+", f"{n}.png", best=1 + n % 2) for n, mark in enumerate(pattern)]
    logged[0]["texts"] = [f"{text} {EVIL}" for text in logged[0]["texts"]]
    return logged


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    task = write_toy(folder / "data", [f"a red car {n}" for n in range(4)])
    for number, (name, (concept, retrieval)) in enumerate(MODELS.items()):
        weights = str(number) * 64
        color = make_results(name, {"toy_color": concept}, weights=weights, breakdown={"red": concept, "blue": 0.1})
        write(folder / "out", color, {"toy_color": samples(PATTERNS[name])})
        facts = {"task_type": "retrieval", "metric": "t2i_recall@5", "weights": weights, "day": 1}
        search = make_results(name, {"search": retrieval}, **facts)
        search.tasks["search"].declaration["concept"] = None
        if name != "middling":  # which has no score there
            write(folder / "out", search)
    assert yaml.safe_load(task.read_text())["name"] == "toy_color"
    board = build_leaderboard([folder / "out"])
    set_bases(board, {"good": "weak"})
    logs = BoardLogs(board, [task])
    found, problems = find_samples(board, 4, include_path=[task], logs=logs)
    assert problems == []
    path = folder / "board.html"
    text = html_page(board, found, title="Colors | of four models", logs=logs, include_path=[task])
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    opened = Browser()
    yield opened
    opened.close()
