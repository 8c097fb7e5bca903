"""Figures for notebooks."""

import io

import pytest
from PIL import Image

import clipbench
from clipbench.errors import ConfigError, ResultError
from clipbench.results import Measure
from tests.analysis.leaderboard.builders import make_results, write


def results(model, acc, recall, **fields):
    found = make_results(model, {"t": acc, "search": recall}, weights=model * 64, **fields)
    search = found.tasks["search"]
    search.task_type, search.primary_metric, search.metrics = "retrieval", "t2i_recall@5", {}
    search.metrics["t2i_recall@5"], search.higher_is_better = Measure(recall, 0.01), {"t2i_recall@5": True}
    return found


def drawn(figure):
    """The panel's markers in percent, by color, and the names in the legend."""
    (axes,) = figure.axes
    points = {(line.get_color(), *line.get_xydata()[0]) for line in axes.lines if line.get_marker() not in ("None", "")}
    (legend,) = figure.legends
    return points, [text.get_text() for text in legend.get_texts()]


def test_results_are_points_and_the_base_is_black():
    base, tuned = results("base", 0.5, 0.8), results("tuned", 0.6, 0.7)
    points, names = drawn(clipbench.plot.tradeoff(base, tuned, base=base))
    assert {("black", 0.8, 0.5)} == {point for point in points if point[0] == "black"}
    assert {point[1:] for point in points} == {(0.8, 0.5), (0.7, 0.6)}
    assert names == ["Orig. base", "tuned", "Pareto front"]


def test_a_notebook_shows_it_without_pyplot():
    png = clipbench.plot.tradeoff(results("a", 0.5, 0.8))._repr_png_()
    assert Image.open(io.BytesIO(png)).format == "PNG"


def test_files_folders_and_names_of_ones_own(tmp_path):
    path = write(tmp_path, results("a", 0.5, 0.8))
    for run in (path, path.parent, str(path), {"mine": path}):
        points, names = drawn(clipbench.plot.tradeoff(run))
        assert {point[1:] for point in points} == {(0.8, 0.5)}
        assert names[0] == ("mine: a" if isinstance(run, dict) else "a")


def test_runs_of_one_name_are_told_apart():
    one, other = results("a", 0.5, 0.8), results("a", 0.6, 0.7)
    assert drawn(clipbench.plot.tradeoff(one, other))[1][:2] == ["a (1): a", "a (2): a"]


@pytest.mark.parametrize(
    ("runs", "said"),
    [([results("a", 0.5, 0.8), results("b", 0.6, 0.7, n=99)], "does not compare"),
     ([make_results()], "needs one retrieval task"), (["nowhere"], "no results_")],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(runs, said):
    with pytest.raises(ResultError, match=said):
        clipbench.plot.tradeoff(*runs)


def test_nothing_to_draw():
    with pytest.raises(ConfigError, match="at least one run"):
        clipbench.plot.tradeoff()
    with pytest.raises(ResultError, match="in memory only: evaluate with output_path and log_samples"):
        clipbench.plot.contact_sheet(make_results(), "t")
    with pytest.raises(ResultError, match="A: its results are in memory only: evaluate with output_path"):
        clipbench.compare(make_results(), make_results())


def test_results_along_a_curve_are_one_line():
    mixed = [results(f"m{share}", 0.5 + share / 10, 0.8 - share / 10) for share in (0.25, 0.5)]
    figure = clipbench.plot.tradeoff({"mix": mixed}, base=results("base", 0.5, 0.8))
    (axes,) = figure.axes
    assert any(
        line.get_xydata().ravel() == pytest.approx([0.775, 0.525, 0.75, 0.55])
        for line in axes.lines
        if len(line.get_xdata()) == 2
    )
    assert drawn(figure)[1][1] == "mix: m0.25 → m0.5"
    with pytest.raises(ConfigError, match="along a curve"):
        clipbench.plot.tradeoff({"mix": []})
