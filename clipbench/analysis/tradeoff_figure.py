"""How the trade-off is drawn."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.analysis.published import ORIGINAL
from clipbench.analysis.tradeoff import FILE_NAME, Point, Tradeoff, pareto_front
from clipbench.errors import ResultError
from clipbench.results.task_result import Z_95
from clipbench.utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, distinguishable for most color-blind people; black is the original's. Where colors run out
# markers go on.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_FRONT = "#6b6b6b"
_PANEL = (5.6, 4.6)  # inches
_COLUMNS = 2
_LONGEST_NAME = 44
# The user's own matplotlibrc does not reach in, and the SVG's ids do not change from run to run.
_STYLE: list[Any] = ["default", {"svg.hashsalt": "clipbench", "font.size": 11}]


def render(tradeoff: Tradeoff) -> tuple[str, bytes]:
    """Draw a trade-off, a panel a task. Equal data give equal bytes.

    Returns:
        SVG text and PNG bytes.
    """
    import matplotlib.style

    svg, png = io.StringIO(), io.BytesIO()
    with matplotlib.style.context(_STYLE):
        figure = _figure(tradeoff)
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", dpi=160, metadata={"Software": None})
    return svg.getvalue(), png.getvalue()


def tradeoff_figure(tradeoff: Tradeoff) -> Figure:
    """A trade-off as a figure, which a notebook shows by itself."""
    import matplotlib.style

    with matplotlib.style.context(_STYLE):
        return _figure(tradeoff)


def _figure(tradeoff: Tradeoff) -> Figure:
    from clipbench.analysis.notebook_figure import NotebookFigure

    tasks = tradeoff.tasks
    columns = min(_COLUMNS, len(tasks))
    rows = -(-len(tasks) // columns)
    curves = [curve for curve in dict.fromkeys(point.curve for point in tradeoff.points) if curve != ORIGINAL]
    styles = {
        curve: (_COLORS[place % len(_COLORS)], _MARKERS[place % len(_MARKERS)]) for place, curve in enumerate(curves)
    }
    width, height = max(6.4, columns * _PANEL[0]), rows * _PANEL[1] + 0.25 * (len(curves) + 3)
    figure = NotebookFigure(figsize=(width, height), layout="constrained")
    figure.suptitle(textwrap.fill(tradeoff.title, int(10 * width)), parse_math=False)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(tasks) :]:
        axes.remove()
    for task, axes in zip(tasks, grid.flat, strict=False):
        _draw_panel(axes, task, tradeoff.panel(task), styles)
    _add_legend(figure, tradeoff, styles)
    return figure


def _draw_panel(axes: Axes, task: str, points: list[Point], styles: dict[str, tuple[str, str]]) -> None:
    score = next(score for score in points[0].concepts if score.task == task)
    axes.set_xlabel(f"{points[0].retrieval.task}: text-to-image R@5 (%)", parse_math=False)
    axes.set_ylabel(f"{task}: {'accuracy' if score.metric == 'acc' else score.metric} (%)", parse_math=False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(0.09)
    originals = [point for point in points if point.curve == ORIGINAL]
    for curve, style in styles.items():
        own = [point for point in points if point.curve == curve]
        if own:
            _draw_curve(axes, task, own, style, originals)
    for point in originals:
        _error_bars(axes, task, point, "black")
        axes.plot(*point.at(task), "o", color="black", markersize=9, zorder=5)
    _draw_front(axes, [point.at(task) for point in points])


def _draw_curve(axes: Axes, task: str, points: list[Point], style: tuple[str, str], originals: list[Point]) -> None:
    """Draw a curve with markers that grow along it."""
    color, marker = style
    places = [point.at(task) for point in points]
    axes.plot(*zip(*places, strict=True), "-", color=color, linewidth=1.6, alpha=0.75, zorder=3)
    if len(originals) == 1:  # with several, a curve's start is unknown
        start = originals[0].at(task)
        axes.plot(*zip(start, places[0], strict=True), ":", color=color, linewidth=1.2, zorder=2)
    for index, (point, place) in enumerate(zip(points, places, strict=True)):
        _error_bars(axes, task, point, color)
        size = 5 + 5 * index / max(1, len(points) - 1)
        axes.plot(*place, marker, color=color, markeredgecolor="white", markersize=size, zorder=4)


def _error_bars(axes: Axes, task: str, point: Point, color: str) -> None:
    x, y = point.at(task)
    of_task = next(score for score in point.concepts if score.task == task)
    axes.errorbar(
        x, y, xerr=Z_95 * (point.retrieval.stderr or 0), yerr=Z_95 * (of_task.stderr or 0),
        fmt="none", ecolor=color, elinewidth=0.7, alpha=0.45, zorder=1,
    )  # fmt: skip


def _draw_front(axes: Axes, places: list[tuple[float, float]]) -> None:
    """A staircase: what lies below and left of it is beaten by a point on it."""
    chosen = {place for place, kept in zip(places, pareto_front(places), strict=True) if kept}
    front = sorted(chosen)
    (left, _), (bottom, _) = axes.get_xlim(), axes.get_ylim()  # asking for them settles them
    axes.autoscale(False)
    xs, ys = zip((left, front[0][1]), *front, (front[-1][0], bottom), strict=True)
    axes.step(xs, ys, where="pre", color=_FRONT, linewidth=1.1, linestyle=(0, (5, 3)), zorder=2)


def _add_legend(figure: Figure, tradeoff: Tradeoff, styles: dict[str, tuple[str, str]]) -> None:
    """Below all panels: labels next to the points would overlap where curves end together."""
    from matplotlib.lines import Line2D

    entries: dict[str, Line2D] = {}
    for point in tradeoff.points:
        if point.curve == ORIGINAL:
            entries[f"{ORIGINAL} {point.label}"] = Line2D([], [], color="black", marker="o", linestyle="none")
    for curve, (color, marker) in styles.items():
        labels = [point.label for point in tradeoff.points if point.curve == curve]
        ends = labels[0] if labels[0] == labels[-1] else f"{labels[0]} → {labels[-1]}"
        entries[curve if ends == curve else f"{curve}: {ends}"] = Line2D([], [], color=color, marker=marker)
    entries["Pareto front"] = Line2D([], [], color=_FRONT, linestyle=(0, (5, 3)), linewidth=1.1)
    # A leading underscore hides an entry; a name may well have one.
    names = [_shortened(f" {name}" if name.startswith("_") else name) for name in entries]
    two_columns_inches = 2 * (0.085 * max(map(len, names)) + 0.6)
    columns = 2 if two_columns_inches < figure.get_figwidth() else 1
    legend = figure.legend(
        list(entries.values()), names, loc="outside lower center", ncols=columns, frameon=False, fontsize=10,
        title="Markers grow along a curve; bars are 95 % intervals", title_fontsize=9,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME // 2]}…{name[-_LONGEST_NAME // 2 + 1 :]}"


def draw_tradeoff(points: Sequence[Point], directory: Path, title: str) -> list[Path]:
    """Write ``tradeoff.json``, ``tradeoff.svg`` and ``tradeoff.png``.

    Args:
        points: At least one; curve after curve, each in the order of its steps.
        directory: Made where it is not there.
        title: Written above.

    Returns:
        The files.

    Raises:
        ResultError: There is no point, or the files cannot be written.
    """
    if not points:
        raise ResultError("a trade-off without points cannot be drawn")
    tradeoff = Tradeoff(title=title, points=tuple(points))
    svg, png = render(tradeoff)
    paths = [directory / FILE_NAME, directory / "tradeoff.svg", directory / "tradeoff.png"]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        atomic_write(paths[0], tradeoff.model_dump_json(indent=2) + "\n")
        atomic_write(paths[1], svg)
        atomic_write(paths[2], png)
    except OSError as error:
        raise ResultError(f"{directory}: cannot be written: {error.strerror or error}") from None
    return paths
