import pytest

from benchmarks.__main__ import main
from benchmarks.figures import Figure
from benchmarks.suite.comparison import Change, compare
from benchmarks.suite.report import Outcome, Report

MACHINE = {"cpu": "A CPU", "cores": 2, "threads": 2, "memory_gib": 8, "gpu": None, "system": "Linux"}


def report(*figures, **machine):
    return Report("2026-01-01", {**MACHINE, **machine}, {}, {"one": Outcome("measured", figures=figures)})


def worse(before, after):
    return [change.after.name for change in compare(before, after).worse]


@pytest.mark.parametrize(
    ("better", "after", "share"),
    [("lower", 11.0, 0.1), ("lower", 9.0, -0.1), ("higher", 9.0, 0.1), ("higher", 11.0, -0.1)],
)
def test_worse_is_up_or_down_as_the_figure_says(better, after, share):
    change = Change("one", Figure("f", 10, "s", better), Figure("f", after, "s", better))
    assert change.worse_by == pytest.approx(share)


def test_more_than_a_tenth_worse_is_flagged_the_worst_first():
    names = ("bit", "much", "more", "rate", "better")
    before = report(*(Figure(name, 100, "s", "higher" if name == "rate" else "lower") for name in names))
    values = {"bit": 110, "much": 111, "more": 150, "rate": 80, "better": 10}
    after = report(*(Figure(n, v, "s", "higher" if n == "rate" else "lower") for n, v in values.items()))
    assert worse(before, after) == ["more", "rate", "much"]


def test_what_was_nothing_is_worse_when_it_is_something():
    assert worse(report(Figure("f", 0, "%")), report(Figure("f", 0.1, "%"))) == ["f"]
    assert worse(report(Figure("f", 0, "%")), report(Figure("f", 0, "%"))) == []


@pytest.mark.parametrize("fact", ["cpu", "cores", "threads", "gpu"])
def test_on_another_machine_only_ratios_and_shares_are_compared_and_it_says_so(fact):
    figures = [Figure(unit, 100, unit) for unit in ("s", "MB", "×", "%")]
    doubled = [Figure(unit, 200, unit) for unit in ("s", "MB", "×", "%")]
    comparison = compare(report(*figures, **{fact: "another"}), report(*doubled))
    assert [change.after.name for change in comparison.worse] == ["×", "%"]
    assert "The machines differ: only ratios and shares are compared." in comparison.lines()
    assert len(compare(report(*figures), report(*doubled)).worse) == 4


def test_what_is_no_longer_measured_is_told():
    comparison = compare(report(Figure("f", 1, "s"), Figure("g", 1, "s")), report(Figure("f", 1, "ms")))
    assert comparison.gone == ("one, f (s)", "one, g (s)")
    assert not comparison.changes


def test_a_benchmark_that_was_skipped_or_not_run_is_not_compared():
    before = report(Figure("f", 1, "s"))
    assert not compare(before, Report("", MACHINE, {}, {"one": Outcome("skipped", "there is no GPU")})).gone
    assert not compare(before, Report("", MACHINE, {}, {})).gone


def test_strict_makes_it_the_exit_status(tmp_path, capsys):
    report(Figure("f", 1, "s")).write(tmp_path / "before.json")
    report(Figure("f", 2, "s")).write(tmp_path / "after.json")
    command = ["compare", str(tmp_path / "after.json"), "--against", str(tmp_path / "before.json")]
    assert main(command) == 0
    assert "WORSE  one, f: 1 → 2 s, +100 %" in capsys.readouterr().out
    assert main([*command, "--strict"]) == 1
    assert main(["compare", str(tmp_path / "before.json"), "--against", command[1], "--strict"]) == 0
