"""Columns of answers against the same sums over the lines, one after the other."""

import random

import pytest

from clipbench.analysis.answers import common_samples, differences_by_cluster, logged_answers, shared_samples
from clipbench.errors import ResultError
from tests.analysis.leaderboard.builders import line, make_results, write

QUERY = {"correct": True, **{name: value for name, value in line("query", True).items() if name != "acc"}}  # of no acc


def logged(folder, name, samples):
    return logged_answers(write(folder, make_results(name), {"t": [QUERY, *samples]}), "t", "acc")


def draw(seed, altered=()):
    """Some of thirty samples of ten images, in any order; some of them with other texts."""
    draws = random.Random(seed)
    samples = [line(str(n), draws.random() < 0.5, f"image {n // 3}") for n in draws.sample(range(30), 20)]
    return [{**each, "texts": ["x", "y", "z"]} if each["doc_id"] in altered else each for each in samples]


@pytest.mark.parametrize("seed", range(5))
def test_what_two_runs_share_and_by_what_they_differ(tmp_path, seed):
    lines_a, lines_b = draw(seed), draw(seed + 100, altered={"3", "14", "15"})
    a, b = logged(tmp_path, "a", lines_a), logged(tmp_path, "b", lines_b)
    found = {each["doc_id"]: each for each in lines_b}
    both = [each for each in lines_a if each["doc_id"] in found]
    same = [each for each in both if each["texts"] == found[each["doc_id"]]["texts"]]
    totals = {}
    for each in same:
        total = totals.setdefault(each["image"], [0, 0])
        total[0] += each["acc"] - found[each["doc_id"]]["acc"]
        total[1] += 1

    ours, theirs = common_samples(a, b)
    assert a.ids(ours) == b.ids(theirs) == [each["doc_id"] for each in both]
    shared = shared_samples(a, b)
    assert a.ids(shared.a) == b.ids(shared.b) == [each["doc_id"] for each in same]
    assert a.ids(shared.altered) == [each["doc_id"] for each in both if each not in same]
    assert a.right[shared.a].tolist() == [each["acc"] == 1 for each in same]
    sums, sizes = differences_by_cluster(a, b, shared)
    assert sorted(zip(sums, sizes, strict=True)) == sorted(map(tuple, totals.values()))


def test_two_runs_without_a_common_sample(tmp_path):
    a, b = logged(tmp_path, "a", [line("1", True)]), logged(tmp_path, "b", [line("2", True)])
    shared = shared_samples(a, b)
    assert (len(a), len(shared), len(shared.altered)) == (1, 0, 0)
    assert [column.tolist() for column in differences_by_cluster(a, b, shared)] == [[], []]


def test_shares_cannot_be_compared(tmp_path):
    path = write(tmp_path, make_results(), {"t": [{**line("1", True), "acc": 0.5, "correct": True}]})
    with pytest.raises(ResultError, match=r"samples_t_.*: acc is 0\.5; only 0 and 1 can be compared"):
        logged_answers(path, "t", "acc")
