"""A page's logs: read once each, and what is kept of them is what is in them."""

from collections import Counter

import pytest

from clipbench.analysis.leaderboard.gallery import find_samples
from clipbench.analysis.leaderboard.logs import BoardLogs
from clipbench.analysis.leaderboard.merge import build_leaderboard
from clipbench.analysis.leaderboard.page import html_page
from clipbench.errors import ResultError
from clipbench.results import sample_log
from clipbench.results.sample_log import logged_samples
from tests.analysis.leaderboard.builders import line, lines, make_results, write

WRONG = [line("4", False, best=2), line("5", False), line("6", False)]


def unread(folder):
    """A board whose confusions are still to be counted."""
    board = build_leaderboard([folder])
    found = [score.confusion for score in board.scores]
    for score in board.scores:
        score.confusion = {}
    board.notes.clear()
    return board, found


def test_a_page_reads_each_log_once(tmp_path, monkeypatch):
    for name, pattern in (("a", "+++-"), ("b", "+-+-"), ("c", "----")):
        samples = {"t": [*lines(pattern), *WRONG]}
        write(tmp_path, make_results(name, {"t": 0.5}, weights=name * 64), samples)
    board, confusions = unread(tmp_path)
    read, lines_of = Counter(), sample_log._lines
    monkeypatch.setattr(sample_log, "_lines", lambda path: read.update([path]) or lines_of(path))
    logs = BoardLogs(board)
    logs.add_confusions()
    gallery, _ = find_samples(board, 4, logs=logs)
    html_page(board, gallery, logs=logs)
    assert sorted(read.values()) == [1, 1, 1]
    assert [score.confusion for score in board.scores] == confusions
    assert confusions[0] == {"red": {"red": 3, "blue": 3, "green": 1}}


def test_samples_are_found_again_by_name(tmp_path):
    path = write(tmp_path, make_results(), {"t": [*lines("+-+-"), *WRONG]})
    board = build_leaderboard([path])
    logs, (score,) = BoardLogs(board), board.scores
    whole = {sample.id: sample for sample in logged_samples(path, "t")}
    assert logs.samples(score, ["6", "0", "nowhere"]) == {name: whole[name] for name in ("0", "6")}
    assert logs.confused(score) == {
        ("red", "red"): ["0", "2"], ("red", "blue"): ["1", "3", "5", "6"], ("red", "green"): ["4"],
    }  # fmt: skip
    (log,) = path.parent.glob("samples_*")
    log.write_bytes(log.read_bytes()[:-10])
    with pytest.raises(ResultError, match=r"samples_t_.*\.jsonl: at byte \d+: not a JSON line"):
        logs.samples(score, ["6"])


@pytest.mark.parametrize("keep", [True, False])
def test_shares_have_confusions_though_they_do_not_compare(tmp_path, keep):
    samples = [{**line("1", True), "acc": 0.5, "correct": True}, line("2", False)]
    write(tmp_path, make_results(), {"t": samples})
    board, confusions = unread(tmp_path)
    BoardLogs(board).add_confusions(keep=keep)
    assert (board.notes, confusions) == ([], [{"red": {"red": 1, "blue": 1}}])
    assert [score.confusion for score in board.scores] == confusions


@pytest.mark.parametrize("keep", [True, False])
def test_a_damaged_log_is_named_once(tmp_path, keep):
    write(tmp_path, make_results(), {"t": [line("1", True), {"doc_id": "2"}]})
    board, _ = unread(tmp_path)
    BoardLogs(board).add_confusions(keep=keep)
    (note,) = board.notes
    assert "unreadable samples, so no confusions: " in note
    assert ".jsonl:2: not a sample of t: `image` is None" in note
