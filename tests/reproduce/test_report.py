"""The report of a study whose results are made up: what the paper published, as if we had measured it."""

import json

import pytest

from clipbench.analysis.published import PAPER as PAPER_SOURCE
from clipbench.analysis.published import published_figures
from clipbench.reproduce.claims import findings_of
from clipbench.reproduce.folder import StudyFolder, TrainingRecord
from clipbench.reproduce.lookup import Cells
from clipbench.reproduce.report import write_report
from clipbench.reproduce.steps import runs_of
from clipbench.reproduce.study import load_study
from clipbench.reproduce.tables import grids_of
from clipbench.results import Measure, Results, SampleCounts, TaskResult

PAPER = load_study("paper")
STDERR = 0.001


def results_of(task, metric, value):
    result = TaskResult(
        task_type="retrieval" if "retrieval" in task else "ranking",
        primary_metric=metric,
        metrics={metric: Measure(value, STDERR)},
        higher_is_better={metric: True},
        counts=SampleCounts(original=100, effective=100),
    )
    return Results(tasks={task: result})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = StudyFolder(tmp_path_factory.mktemp("paper") / "out")
    made.claim(PAPER)
    runs = runs_of(PAPER)
    for run in runs[1:]:
        made.write_training(
            run,
            TrainingRecord(status="finished", checkpoints=[(10, 1.0), (20, 2.0), (30, 3.0)]),
        )
    for figure in published_figures():
        if not figure.source.startswith(PAPER_SOURCE):
            continue
        kind = {"Orig.": "orig", "Clas.": f"{figure.concept}-control-seed0"}.get(figure.kind)
        name = kind or f"{figure.concept}-{figure.kind.lower()}-seed0"
        run = next(run for run in runs if run.name == name)
        step = 0 if run.is_base else 10 * (figure.epoch or 3)
        made.write_results(run, step, figure.task, results_of(figure.task, figure.metric, figure.value))
    return made


def test_each_figure_comes_back_to_the_cell_it_was_published_in(folder):
    cells = [cell for grid in grids_of(Cells(PAPER, folder)) for cell in grid.cells]
    assert len(cells) == 33 + 58 + 96
    for cell in cells:
        assert cell.difference == pytest.approx(0), cell
        assert cell.agrees is True


def test_the_papers_findings_hold_for_the_papers_own_table(folder):
    findings = [found for found in findings_of(Cells(PAPER, folder)) if found.task.startswith("coco")]
    # A hard negative teaches (4 concepts), one is as good as three (2), one epoch (4), retrieval (4).
    assert len(findings) == 14
    assert [found for found in findings if not found.held] == []


def test_a_figure_that_is_off_is_shown_to_be(folder):
    cells = Cells(PAPER, folder)
    run = next(run for run in cells.runs if run.name == "size-hn1-seed0")
    folder.write_results(run, 30, "coco_size", results_of("coco_size", "acc", 0.80))
    try:
        table = grids_of(Cells(PAPER, folder))[2]
        titles, row = table.rows[-1]
        assert titles == ["size", "3"]
        # accuracy: Orig., Clas., HN1, then no HN2 and HN3
        assert [cell and cell.agrees for cell in row[:5]] == [True, True, False, None, None]
        write_report(PAPER, folder)
        text = (folder.path / "report.md").read_text()
        assert "80.0 ± 0.2 (90, -10.0 ≠)" in text
        assert text.count("≠)") == 1
        cell = json.loads((folder.path / "report.json").read_text())["tables"][2]["rows"][-1]["cells"][2]
        assert cell["difference"] == pytest.approx(-0.1)
    finally:
        folder.write_results(run, 30, "coco_size", results_of("coco_size", "acc", 0.90))


def test_a_cell_that_has_not_all_seeds_says_so(folder):
    both = PAPER.model_copy(update={"training": PAPER.training.model_copy(update={"seeds": [0, 1]})})
    grid = grids_of(Cells(both, folder))[2]
    _, row = grid.rows[0]
    assert row[1].problems == ("object-control-seed1: not trained yet",)
    write_report(both, folder)
    assert "76.0 ± 0.2, 1 of 2 seeds (76, +0.0 =)" in (folder.path / "report.md").read_text()
