"""A board as a table of a paper: models × tasks in percent, in LaTeX or Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from clipbench.analysis.leaderboard.board import Board, GroupMean, Score
from clipbench.analysis.leaderboard.significance import LEVEL, p_values_against_best
from clipbench.analysis.leaderboard.tables import flag_marks, legend, ordered_models
from clipbench.errors import ConfigError
from clipbench.results import Measure
from clipbench.utils.markup import latex_escaped, latex_float, latex_tabular, markdown_escaped, markdown_table

Uncertainty = Literal["stderr", "interval", "none"]
UNCERTAINTIES: tuple[Uncertainty, ...] = get_args(Uncertainty)
_UNITS = {"stderr": "percent ± standard error", "interval": "percent [95 % interval]", "none": "percent"}


@dataclass(frozen=True)
class TableOptions:
    """How a paper's table is written.

    Attributes:
        uncertainty: What follows a score: its standard error, its 95 % interval, or nothing.
        transpose: A row is a task and a column a model, instead of the reverse.
        caption: The table's caption.
        label: LaTeX's name of the table; it has no meaning in Markdown.

    Raises:
        ConfigError: There is no such uncertainty, or the label is none.
    """

    uncertainty: Uncertainty = "stderr"
    transpose: bool = False
    caption: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        if self.uncertainty not in UNCERTAINTIES:
            raise ConfigError(f"uncertainty {self.uncertainty!r}: give one of {', '.join(UNCERTAINTIES)}")
        if not re.fullmatch(r"[A-Za-z0-9:_./ -]*", self.label):
            raise ConfigError(f"label {self.label!r}: give letters, digits and : _ . / -")


@dataclass(frozen=True, slots=True)
class _Cell:
    """A score in percent, as text.

    Attributes:
        value: The score, or a dash where there is none.
        uncertainty: What follows it.
        best: It is the best of its task.
        worse: It is significantly worse than the best.
        flags: Letters that ``legend`` explains.
    """

    value: str = "–"
    uncertainty: str = ""
    best: bool = False
    worse: bool = False
    flags: str = ""


@dataclass(frozen=True, slots=True)
class _Grid:
    """Names of columns and rows, and the cells; the corner is ``header[0]``."""

    header: list[str]
    rows: list[tuple[str, list[_Cell]]]
    notes: list[str]


def to_latex(board: Board, options: TableOptions | None = None) -> str:
    """A ``tabular`` of the package booktabs; with a caption or a label, in a ``table``.

    The best score of each task is bold, and a dagger marks those that are significantly worse
    (``clipbench.analysis.leaderboard.significance``).
    """
    options = options or TableOptions()
    grid = _grid(board, options)
    rows: list[list[str] | None] = []
    quoted = {facts.label for facts in board.models.values() if facts.published} if not options.transpose else set()
    for name, cells in grid.rows:
        if name in quoted and rows:
            rows.append(None)  # a rule above the published ones
            quoted = set()
        rows.append([latex_escaped(name), *map(_latex_cell, cells)])
    header = list(map(latex_escaped, grid.header))
    tabular = latex_tabular(f"l{'r' * (len(header) - 1)}", header, rows)
    return latex_float(tabular, options.caption, options.label, grid.notes)


def _latex_cell(cell: _Cell) -> str:
    value = rf"\textbf{{{cell.value}}}" if cell.best else latex_escaped(cell.value)
    uncertainty = rf"{{\footnotesize {latex_escaped(cell.uncertainty)}}}" if cell.uncertainty else ""
    return _joined(value + latex_escaped("†" * cell.worse), uncertainty, latex_escaped(cell.flags))


def to_markdown(board: Board, options: TableOptions | None = None) -> str:
    """The same as a Markdown table, with the caption above it."""
    options = options or TableOptions()
    grid = _grid(board, options)
    rows = [[markdown_escaped(name), *map(_markdown_cell, cells)] for name, cells in grid.rows]
    caption = [markdown_escaped(options.caption), ""] if options.caption else []
    table = markdown_table(list(map(markdown_escaped, grid.header)), rows)
    return "\n".join([*caption, *table, "", "; ".join(map(markdown_escaped, grid.notes))]) + "\n"


def _markdown_cell(cell: _Cell) -> str:
    value = f"**{cell.value}**" if cell.best else cell.value
    return _joined(value + "†" * cell.worse, markdown_escaped(cell.uncertainty), markdown_escaped(cell.flags))


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _grid(board: Board, options: TableOptions) -> _Grid:
    models = ordered_models(board)
    names = [board.models[model].label for model in models]
    p_values = p_values_against_best(board)
    columns = [
        (title, [_cell(items.get(model), p_values.get((model, column)), options.uncertainty) for model in models])
        for column, title, items in _columns(board)
    ]
    notes = list(_notes(board, options, any(cell.worse for _, cells in columns for cell in cells)))
    if options.transpose:
        return _Grid(["Task", *names], columns, notes)
    rows = [(name, [cells[place] for _, cells in columns]) for place, name in enumerate(names)]
    return _Grid(["Model", *(title for title, _ in columns)], rows, notes)


def _columns(board: Board) -> Iterator[tuple[str, str, dict[str, Score | GroupMean]]]:
    """Tasks and groups, each with its title and its scores by model."""
    for task in board.tasks:
        yield task, task, {score.model: score for score in board.scores if score.task == task}
    for group in sorted({mean.group for mean in board.means}):
        yield group, f"mean of {group}", {mean.model: mean for mean in board.means if mean.group == group}


def _cell(item: Score | GroupMean | None, p_value: float | None, uncertainty: Uncertainty) -> _Cell:
    if item is None:
        return _Cell()
    return _Cell(
        value=f"{100 * item.value:.1f}",
        uncertainty=_uncertainty(Measure(item.value, item.stderr), uncertainty),
        best=item.rank == 1,
        worse=p_value is not None and p_value < LEVEL,
        flags=flag_marks(item) if isinstance(item, Score) else "",
    )


def _uncertainty(measure: Measure, kind: Uncertainty) -> str:
    if measure.stderr is None or measure.interval is None or kind == "none":
        return ""
    low, high = measure.interval
    return f"± {100 * measure.stderr:.1f}" if kind == "stderr" else f"[{100 * low:.1f}, {100 * high:.1f}]"


def _notes(board: Board, options: TableOptions, marked: bool) -> Iterator[str]:
    """What numbers and marks mean."""
    metrics = sorted({facts.metric for facts in board.tasks.values()})
    yield f"{', '.join(metrics)} in {_UNITS[options.uncertainty]}"
    if any(score.rank is not None for score in board.scores):
        yield "bold: best"
    if marked:
        yield f"†: significantly worse than the best (p < {LEVEL}; by image where samples were logged; Holm)"
    yield from legend(board)
