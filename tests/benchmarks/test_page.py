import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from benchmarks.__main__ import main
from benchmarks.figures import Figure
from benchmarks.suite.page import PAGE, PLOT, figures_part, files_of, targets, with_figures
from benchmarks.suite.plot import draw, times_as_good
from benchmarks.suite.report import RESULTS, Outcome, Report, read_report

MACHINE = {"cpu": "A CPU", "cores": 2, "threads": 2, "memory_gib": 8, "gpu": None, "system": "Linux"}
SOFTWARE = {"python": "3.13", "torch": "2", "transformers": "5", "open_clip_torch": "3", "commit": "abc"}
FIGURES = (
    Figure("CLIP_benchmark ÷ clipbench", 9.634, "×", "higher", 10),
    Figure("ranking, clipbench", 21_883.4, "samples/s", "higher", 20_000),
    Figure("start", 0.12, "s", "lower", 0.4),
    Figure("memory", 580, "MB"),
)
REPORT = Report(
    "2026-01-02T03:04:05Z",
    MACHINE,
    SOFTWARE,
    {
        "gpu_ranking": Outcome("skipped", "there is no GPU"),
        "ranking": Outcome("measured", command="python benchmarks/engine.py", seconds=1, figures=FIGURES),
    },
)


def texts_in(path):
    return {
        (element.text or "").strip() for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    }


def test_the_page_says_what_the_stored_runs_say():
    text = PAGE.read_text(encoding="utf-8")
    names = files_of(text)
    assert names
    assert with_figures(text, names) == text, f"stale: python -m benchmarks docs {' '.join(names)} (in {RESULTS})"


def test_the_plot_is_that_of_the_stored_runs():
    """By its labels, which do not depend on the version of matplotlib."""
    reports = [read_report(RESULTS / name) for name in files_of(PAGE.read_text(encoding="utf-8"))]
    drawn = texts_in(PLOT)
    for name, figure in targets(reports):
        assert f"{name}: {figure.name}" in drawn, "stale: python -m benchmarks docs"
        assert f"{times_as_good(figure):.2f}" in drawn, "stale: python -m benchmarks docs"


def test_a_row_has_figure_unit_target_and_whether_it_is_met():
    part = figures_part(REPORT)
    assert "| CLIP_benchmark ÷ clipbench | 9.63 | × | ≥ 10 | **no** |" in part
    assert "| clipbench | 21,883 | samples/s | ≥ 20,000 | yes |" in part
    assert "| start | 0.12 | s | ≤ 0.4 | yes |" in part
    assert "| memory | 580 | MB |  |  |" in part
    assert "A CPU, 2 cores, 2 threads, 8 GiB; Linux; Python 3.13" in part
    assert "Not measured in this run: `gpu_ranking` (there is no GPU)." in part


def test_figures_are_replaced_between_the_markers_and_nothing_else_is(tmp_path):
    REPORT.write(tmp_path / "a.json")
    replace(REPORT, machine={**MACHINE, "gpu": r"A \1 GPU"}).write(tmp_path / "b.json")
    page = "before\n\n<!-- figures of old.json -->\nold\n<!-- end of figures -->\n\nafter\n"
    made = with_figures(page, ["a.json", "b.json"], tmp_path)
    assert made.startswith("before\n\n<!-- figures of a.json b.json -->\n\nA CPU, ")
    assert made.endswith("\n\n<!-- end of figures -->\n\nafter\n")
    assert r"A \1 GPU; A CPU" in made
    assert "old" not in made
    assert files_of(made) == ["a.json", "b.json"]
    assert with_figures(made, ["a.json", "b.json"], tmp_path) == made


def test_a_page_without_markers_is_refused(tmp_path):
    with pytest.raises(ValueError, match="figures of FILE"):
        with_figures("nothing", [])


def test_a_run_that_is_not_stored_is_not_put_on_the_page(tmp_path, capsys):
    """The page names the file, which must be there for whoever reads it."""
    REPORT.write(tmp_path / "a.json")
    before = PAGE.read_text(encoding="utf-8")
    assert main(["docs", str(tmp_path / "a.json")]) == 2
    assert str(RESULTS) in capsys.readouterr().err
    assert PAGE.read_text(encoding="utf-8") == before


def test_times_as_good_is_more_than_one_where_the_target_is_met():
    assert times_as_good(Figure("f", 5, "s", "lower", 10)) == 2
    assert times_as_good(Figure("f", 5, "×", "higher", 10)) == 0.5
    for broken in (Figure("f", 5, "s"), Figure("f", 0, "s", "lower", 10), Figure("f", 1, "%", "lower", 0)):
        with pytest.raises(ValueError, match="f"):
            times_as_good(broken)


def test_the_plot_has_a_bar_for_each_target_and_is_the_same_each_time(tmp_path):
    draw(targets([REPORT]), tmp_path / "one.svg")
    draw(targets([REPORT]), tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    drawn = texts_in(tmp_path / "one.svg")
    assert {"ranking: CLIP_benchmark ÷ clipbench", "ranking: clipbench", "ranking: start"} <= drawn
    assert "ranking: memory" not in drawn
    assert {"0.96", "1.09", "3.33"} <= drawn
