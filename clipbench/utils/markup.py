"""Tables in LaTeX, Markdown and HTML, of plain text that is shown and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "≥": r"$\geq$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "†": r"\textsuperscript{\dag}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def latex_escaped(text: str) -> str:
    r"""Text in one line of LaTeX.

    Examples:
        >>> print(latex_escaped("coco_color: 50 % ± 1"))
        coco\_color: 50 \% $\pm$ 1
    """
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def markdown_escaped(text: str) -> str:
    r"""Text in one cell of a Markdown table.

    Examples:
        >>> print(markdown_escaped("a|b *c*"))
        a\|b \*c\*
    """
    return re.sub(r"([\\|<>`*_\[\]])", r"\\\1", " ".join(text.split()))


def latex_tabular(columns: str, header: Sequence[str], rows: Sequence[Sequence[str] | None]) -> list[str]:
    """The lines of a ``tabular`` of the package booktabs.

    Args:
        columns: The alignment of each, such as ``lrr``.
        header: Cells, in LaTeX.
        rows: Cells, in LaTeX; None is a rule.
    """
    body = [r"\midrule" if row is None else _row(row) for row in rows]
    head = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rf"{' & '.join(header)} \\", r"\midrule"]
    return [*head, *body, r"\bottomrule", r"\end{tabular}"]


def _row(cells: Sequence[str]) -> str:
    guard = "{}" if cells[0][:1] in ("[", "*") else ""  # or it would be an argument of the row's end before it
    return rf"{guard}{' & '.join(cells)} \\"


def latex_float(tabular: Sequence[str], caption: str, label: str, notes: Sequence[str]) -> str:
    """A LaTeX file with one table.

    Args:
        tabular: The lines of a ``tabular``.
        caption: Plain text. With a caption or a label, the tabular stands in a ``table``.
        label: What ``ref`` finds it by.
        notes: Plain text: below the table, or comments where there is no ``table``.
    """
    package = r"% needs \usepackage{booktabs}"
    if not (caption or label):
        return "\n".join([package, *tabular, *(f"% {note}" for note in notes)]) + "\n"
    lines = [package, r"\begin{table}", r"\centering", rf"\caption{{{latex_escaped(caption)}}}"]
    lines += [rf"\label{{{label}}}"] if label else []
    lines += [*tabular, rf"\par\smallskip{{\footnotesize {latex_escaped('; '.join(notes))}\par}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table of cells in Markdown; all columns but the first are aligned to the right."""
    rule = "|---" + "|---:" * (len(header) - 1) + "|"
    return [f"| {' | '.join(header)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)]


def html_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = (), names: int = 1
) -> str:
    """A table for a notebook, which takes its colors from the page around it.

    Args:
        title: Plain text above the table.
        header: Plain text.
        rows: Cells: plain text, or ``Markup`` for HTML.
        notes: Plain text below it, a line each.
        names: The first so many columns are names, and aligned to the left; numbers are aligned to the right.
    """
    cell = Markup('<td style="text-align:{};padding:2px 10px;white-space:nowrap">{}</td>')
    head = Markup('<th style="text-align:{};padding:2px 10px">{}</th>')
    sides = ["left" if place < names else "right" for place in range(len(header))]
    line = Markup("<tr>{}</tr>")
    drawn = [
        line.format(Markup().join(form.format(side, text) for side, text in zip(sides, cells, strict=True)))
        for form, lines in ((head, [header]), (cell, rows))
        for cells in lines
    ]
    below = Markup().join(Markup("<div>{}</div>").format(note) for note in notes)
    return str(
        Markup('<div><b>{}</b><table style="border-collapse:collapse;margin:4px 0">{}</table><small>{}</small></div>')
        .format(title, Markup().join(drawn), below)
    )  # fmt: skip
