import csv
import io
import math
import shutil
import subprocess

import pytest

from clipbench.analysis.leaderboard.merge import build_leaderboard
from clipbench.analysis.leaderboard.paper_table import TableOptions, to_latex, to_markdown
from clipbench.analysis.leaderboard.significance import p_values_against_best
from clipbench.analysis.leaderboard.tables import legend, ordered_models, to_csv
from clipbench.errors import ConfigError
from tests.analysis.leaderboard.builders import lines, make_results, write

NASTY = r'=cmd|"x"!A1 <script>alert(1)</script> a_b & 50% \x {y} $z #1 ~^'


@pytest.fixture
def board(tmp_path):
    write(tmp_path, make_results(NASTY, {"t_1": 0.5, "u": 0.25}))
    write(tmp_path, make_results("[best]", {"t_1": 0.75}, weights="b" * 64))
    write(tmp_path, make_results("short", {"t_1": 0.9}, limit=5, weights="c" * 64))
    return build_leaderboard([tmp_path])


def cells(line):
    """The cells of a row of LaTeX or Markdown."""
    separator = "|" if line.startswith("|") else "&"
    escaped = line.replace(rf"\{separator}", "\0").removesuffix(r" \\").strip(separator)
    return [cell.strip() for cell in escaped.split(separator)]


def body(latex):
    """The rows below the head."""
    return [cells(line) for line in latex.split(r"\midrule", 1)[1].splitlines() if line.endswith(r"\\")]


def test_csv_has_a_line_a_score_and_runs_no_formula(board):
    rows = list(csv.DictReader(io.StringIO(to_csv(board))))
    assert len(rows) == 4
    nasty = next(row for row in rows if row["task"] == "u")
    assert nasty["model"] == f"'{NASTY}"
    assert (nasty["value"], nasty["stderr"], nasty["rank"], nasty["parameters"]) == ("0.25", "0.01", "1", "123456")
    assert next(row for row in rows if row["model"] == "short")["flags"] == "limited"


def test_the_best_is_first_and_what_has_no_rank_last(board):
    assert [board.models[key].label for key in ordered_models(board)] == ["[best]", NASTY, "short"]


def test_markdown_keeps_its_columns_whatever_the_names(board):
    lines = to_markdown(board).splitlines()
    assert [len(cells(line)) for line in lines[:5]] == [3] * 5
    assert r"\<script\>" in lines[3]
    assert lines[4] == r"| short | 90.0 ± 1.0 \*L | – |"
    assert legend(board) == ["*L: a limited number of samples was scored"]


def test_latex_is_in_percent_with_the_best_bold_and_the_worse_marked(board):
    """25 points are 17.7 standard errors of the difference, so the dagger is due."""
    rows = body(to_latex(board))
    assert rows[0] == ["{}[best]", r"\textbf{75.0} {\footnotesize $\pm$ 1.0}", "--"]
    assert rows[1][1:] == [r"50.0\textsuperscript{\dag} {\footnotesize $\pm$ 1.0}",
                           r"\textbf{25.0} {\footnotesize $\pm$ 1.0}"]  # fmt: skip
    assert rows[2] == ["short", r"90.0 {\footnotesize $\pm$ 1.0} *L", "--"]


def test_latex_escapes_names(board):
    assert r"a\_b \& 50\% \textbackslash{}x \{y\} \$z \#1 \textasciitilde{}\textasciicircum{}" in to_latex(board)


def test_a_transposed_table_has_the_same_cells(board):
    upright, transposed = body(to_latex(board)), body(to_latex(board, TableOptions(transpose=True)))
    assert [row[1:] for row in transposed] == [
        list(column) for column in zip(*[row[1:] for row in upright], strict=True)
    ]
    assert [row[0] for row in transposed] == [r"t\_1", "u"]


def test_intervals_hold_95_percent_and_stay_between_0_and_100(tmp_path):
    write(tmp_path, make_results("m", {"t": 0.99, "u": 0.5}, stderr=0.01))
    text = to_markdown(build_leaderboard([tmp_path]), TableOptions(uncertainty="interval"))
    assert r"**99.0** \[97.0, 100.0\]" in text  # 0.99 ± 1.96 × 0.01
    assert r"**50.0** \[48.0, 52.0\]" in text
    assert "±" not in to_markdown(build_leaderboard([tmp_path]), TableOptions(uncertainty="none"))


def test_a_caption_or_a_label_makes_a_table_of_its_own(board):
    text = to_latex(board, TableOptions(caption="50 % & more", label="tab:scores"))
    assert text.index(r"\begin{table}") < text.index(r"\caption{50 \% \& more}") < text.index(r"\label{tab:scores}")
    assert text.index(r"\label") < text.index(r"\begin{tabular}{lrr}") < text.index(r"\end{table}")
    assert r"\begin{table}" not in to_latex(board)
    assert to_markdown(board, TableOptions(caption="a|b")).splitlines()[:2] == [r"a\|b", ""]


def test_published_figures_stand_below_a_rule(tmp_path):
    write(tmp_path, make_results("m", {"coco_color": 0.5}))
    text = to_latex(build_leaderboard([tmp_path], reference=True))
    rules = text.split(r"\midrule")
    assert len(rules) == 3
    assert rules[1].strip().startswith("m &")
    assert all("published" in line for line in rules[2].splitlines() if line.endswith(r"\\"))


@pytest.mark.parametrize(("name", "value"), [("uncertainty", "sd"), ("label", "tab{x}"), ("label", "a%b")])
def test_what_would_break_the_file_is_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        TableOptions(**{name: value})


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
@pytest.mark.parametrize("options", [TableOptions(), TableOptions(transpose=True, caption="50 %", label="a")])
def test_latex_compiles(board, tmp_path, options):
    source = tmp_path / "t.tex"
    preamble = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
    source.write_text(f"{preamble}\n{to_latex(board, options)}\\end{{document}}")
    subprocess.run(["pdflatex", "-halt-on-error", source.name], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "t.pdf").read_bytes().startswith(b"%PDF")


def p_values(folder):
    found = p_values_against_best(build_leaderboard([folder]))
    return {model.partition("@")[0]: p_value for (model, _), p_value in found.items()}


def test_without_logged_samples_the_z_test_decides(tmp_path):
    """b is √2 standard errors of the difference below a: p = erfc(1), doubled by Holm. c is one: p = erfc(√½)."""
    for model, value in {"a": 0.56, "b": 0.50, "c": 0.56 - 0.03 * math.sqrt(2)}.items():
        write(tmp_path, make_results(model, {"t": value}, stderr=0.03, weights=model * 64))
    assert p_values(tmp_path) == pytest.approx({"b": 2 * math.erfc(1), "c": math.erfc(math.sqrt(0.5))})


@pytest.mark.parametrize(("per_image", "p_value"), [(1, 2 / 2**6), (2, 2 / 2**3), (6, 1)])
def test_with_logged_samples_whole_images_are_flipped(tmp_path, per_image, p_value):
    """All six samples differ: of the 2^G signs of G images, two give so large a sum."""
    for model, pattern in {"a": "++++++", "b": "------"}.items():
        results = make_results(model, {"t": float("+" in pattern)}, n=6, weights=model * 64)
        write(tmp_path, results, {"t": lines(pattern, per_image)})
    assert p_values(tmp_path) == pytest.approx({"b": p_value})


def test_a_damaged_log_leaves_the_z_test(tmp_path):
    for model, value in {"a": 0.6, "b": 0.5}.items():
        write(tmp_path, make_results(model, {"t": value}, stderr=0.05, weights=model * 64), {"t": [{"doc_id": 1}]})
    assert p_values(tmp_path) == pytest.approx({"b": math.erfc(0.1 / math.hypot(0.05, 0.05) / math.sqrt(2))})
