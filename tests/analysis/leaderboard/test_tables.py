import csv
import io
import shutil
import subprocess

import pytest

from clipbench.analysis.leaderboard.merge import build_leaderboard
from clipbench.analysis.leaderboard.tables import legend, ordered_models, to_csv, to_latex, to_markdown
from tests.analysis.leaderboard.builders import make_results, write

NASTY = r'=cmd|"x"!A1 <script>alert(1)</script> a_b & 50% \x {y} $z #1 ~^'


@pytest.fixture
def board(tmp_path):
    write(tmp_path, make_results(NASTY, {"t_1": 0.5, "u": 0.25}))
    write(tmp_path, make_results("best", {"t_1": 0.75}, weights="b" * 64))
    write(tmp_path, make_results("short", {"t_1": 0.9}, limit=5, weights="c" * 64))
    return build_leaderboard([tmp_path])


def test_csv_has_a_line_a_score_and_runs_no_formula(board):
    rows = list(csv.DictReader(io.StringIO(to_csv(board))))
    assert len(rows) == 4
    nasty = next(row for row in rows if row["task"] == "u")
    assert nasty["model"] == f"'{NASTY}"
    assert (nasty["value"], nasty["stderr"], nasty["rank"], nasty["parameters"]) == ("0.25", "0.01", "1", "123456")
    assert next(row for row in rows if row["model"] == "short")["flags"] == "limited"


def test_the_best_is_first_and_what_has_no_rank_last(board):
    assert [board.models[key].label for key in ordered_models(board)] == ["best", NASTY, "short"]


def test_markdown_keeps_its_columns_whatever_the_names(board):
    lines = to_markdown(board).splitlines()
    assert [line.replace(r"\|", "").count("|") for line in lines[:5]] == [4] * 5
    assert r"\<script\>" in lines[3]
    assert "| 0.900 ± 0.010 \\*L |" in lines[4]
    assert legend(board) == ["*L: a limited number of samples was scored"]


def test_latex_escapes_and_marks_the_best(board):
    text = to_latex(board)
    assert r"\textbf{0.750 $\pm$ 0.010}" in text
    assert r"a\_b \& 50\% \textbackslash{}x \{y\} \$z \#1 \textasciitilde{}\textasciicircum{}" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert all(line.replace(r"\&", "").count("&") == 2 for line in body)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_compiles(board, tmp_path):
    source = tmp_path / "t.tex"
    source.write_text(rf"\documentclass{{article}}\begin{{document}}{to_latex(board)}\end{{document}}")
    subprocess.run(["pdflatex", "-halt-on-error", source.name], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "t.pdf").read_bytes().startswith(b"%PDF")
