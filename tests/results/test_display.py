"""How notebooks show results, and where results lie."""

import xml.etree.ElementTree as ElementTree

import pytest

from clipbench.results import GroupResult, Measure, read_results
from tests.analysis.leaderboard.builders import make_results, write


def table(results):
    """The cells of each row, and the page's whole text; it is well-formed."""
    tree = ElementTree.fromstring(results._repr_html_())
    rows = [["".join(cell.itertext()) for cell in row] for row in tree.iter("tr")]
    return rows, " ".join(tree.itertext())


def test_scores_are_in_percent_with_their_interval():
    results = make_results("org/model", {"t": 0.5}, stderr=0.01)
    results.tasks["t"].blind = {"keyword_prior": 0.3, "context_prior": 0.35}
    results.tasks["t"].metrics["acc_balanced"] = Measure(0.45)
    results.tasks["t"].blind_balanced = {"acc_balanced": {"keyword_prior": 0.111, "context_prior": 0.253}}
    header, first, second = table(results)[0]
    assert dict(zip(header, first, strict=True)) == {
        "task": "t", "metric": "acc", "%": "50.0", "95 %": "± 2.0", "chance": "25.0", "blind": "35.0",
        "0 to 100 %": "", "n": "100",
    }  # fmt: skip
    assert second == ["", "acc_balanced", "45.0", "", "", "25.3", "", ""]


def test_the_track_shows_value_interval_chance_and_blind_rule_where_they_are():
    results = make_results("m", {"t": 0.5}, stderr=0.05)
    results.tasks["t"].blind = {"keyword_prior": 0.3}
    (drawing,) = ElementTree.fromstring(results._repr_html_()).iter("svg")
    width = float(drawing.get("width"))
    lines = [(float(line.get("x1")) / width, float(line.get("x2")) / width) for line in drawing.iter("line")]
    wanted = [(0, 1), (0.25, 0.25), (0.3, 0.3), (0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05)]
    assert [end for line in lines for end in line] == pytest.approx([end for line in wanted for end in line], abs=1e-3)
    assert float(next(drawing.iter("circle")).get("cx")) / width == 0.5


def test_problems_errors_and_groups_are_shown():
    results = make_results("m", {"t": 0.5, "broken": 0.5})
    results.tasks["t"].problems.append("3 samples tied")
    results.tasks["broken"].error, results.tasks["broken"].metrics = "broken: no data", {}
    results.groups["both"] = GroupResult(tasks=["t", "u"], metric="acc", mean=Measure(0.5, 0.02))
    rows, text = table(results)
    assert rows[2][:2] == ["broken", "failed"]
    assert rows[3][:4] == ["both, mean", "acc", "50.0", "± 3.9"]
    assert "t: 3 samples tied" in text
    assert "broken: no data" in text


def test_names_cannot_break_the_page():
    results = make_results("<script>alert(1)</script>", {"a&b<i>": 0.5})
    rows, text = table(results)
    assert rows[1][0] == "a&b<i>"
    assert text.startswith("<script>alert(1)</script>")


def test_results_know_their_file_and_are_equal_wherever_they_lie(tmp_path):
    results = make_results()
    assert results.path is None
    path = write(tmp_path, results)
    read = read_results(path)
    assert (read.path, read) == (path, results)
    read.tasks["t"].metrics["acc"] = Measure(0.1)
    assert read != results
