"""The plot on docs/performance.md: how far each figure is on the right side of its target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figure

_MET, _NOT_MET = "#0072b2", "#d55e00"  # told apart by color-blind readers too

_TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def times_as_good(figure: Figure) -> float:
    """How many times as good as its target a figure is: 1 at the target, 2 if twice as fast or half as big.

    Raises:
        ValueError: It has no target, or one of the two is not positive.
    """
    if figure.target is None or figure.target <= 0 or figure.value <= 0:
        raise ValueError(f"{figure.name}: {figure.value} and {figure.target} have no ratio")
    return figure.target / figure.value if figure.better == "lower" else figure.value / figure.target


def draw(figures: Sequence[tuple[str, Figure]], path: Path) -> None:
    """Draw a bar for each figure with a target.

    Args:
        figures: With their benchmarks' names; a target and a value above zero.
        path: An SVG file; the same figures give the same file.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure as Drawing

    with mpl.rc_context({"svg.hashsalt": "clipbench", "svg.fonttype": "none", "font.size": 9}):
        drawing = Drawing(figsize=(9, 0.8 + 0.24 * len(figures)), layout="constrained")
        axes = drawing.subplots()
        ratios = [times_as_good(figure) for _, figure in figures]
        places = range(len(figures))
        axes.barh(
            places,
            [ratio - 1 for ratio in ratios],
            left=1,
            color=[_MET if ratio >= 1 else _NOT_MET for ratio in ratios],
        )
        axes.set_yticks(places, [f"{name}: {figure.name}" for name, figure in figures])
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xlabel("times as good as the target")
        for place, ratio in zip(places, ratios, strict=True):
            axes.annotate(f" {ratio:.2f} ", (max(ratio, 1), place), va="center", fontsize=8)
        axes.margins(x=0.12)
        low, high = axes.get_xlim()
        axes.set_xticks([tick for tick in _TICKS if low <= tick <= high])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing.savefig(path, format="svg", metadata={"Date": None})
