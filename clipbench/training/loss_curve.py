"""The loss curve of a run, drawn from its log."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from clipbench.utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS: Final[Mapping[str, Mapping[str, str]]] = {
    "loss": {"loss": "loss"},
    "accuracy in the batch (%)": {
        "i2t_acc": "image to text",
        "t2i_acc": "text to image",
        "hard_negative_acc": "against own hard negatives",
        "negative_image_acc": "against own negative images",
    },
    "logit scale": {"logit_scale": "logit scale"},
}
_COLORS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito's, as in the trade-off figure
_POINTS: Final = 400  # a longer run is averaged over as many parts


def draw_loss_curve(log: Sequence[Mapping[str, Any]], directory: Path, title: str) -> list[Path]:
    """Write ``loss_curve.svg`` and ``loss_curve.png``: loss, in-batch accuracies and logit scale by step.

    Long runs are cut into equal parts; a line shows their means and a band their least and greatest values.

    Args:
        log: The entries of the training log; numbers that an entry lacks are left out.
        directory: The run's folder.
        title: Written above.

    Returns:
        The files; none without an entry.

    Raises:
        ResultError: They cannot be written.
    """
    if not log:
        return []
    svg, png = _render(log, title)
    paths = [directory / "loss_curve.svg", directory / "loss_curve.png"]
    atomic_write(paths[0], svg)
    atomic_write(paths[1], png)
    return paths


def thinned(values: Sequence[tuple[int, float]], points: int = _POINTS) -> list[tuple[float, float, float, float]]:
    """Cut a curve into at most ``points`` equal parts: for each its mean step, mean, least and greatest value.

    Examples:
        >>> thinned([(1, 4.0), (2, 2.0), (3, 1.0)], points=2)
        [(1.5, 3.0, 2.0, 4.0), (3.0, 1.0, 1.0, 1.0)]
    """
    parts = np.array_split(np.array(values, dtype=np.float64), min(points, len(values)))
    return [
        (float(part[:, 0].mean()), float(part[:, 1].mean()), float(part[:, 1].min()), float(part[:, 1].max()))
        for part in parts
    ]


def _render(log: Sequence[Mapping[str, Any]], title: str) -> tuple[str, bytes]:
    import matplotlib.style
    from matplotlib.figure import Figure

    panels = {label: curves for label, names in _PANELS.items() if (curves := _curves(log, names))}
    svg, png = io.StringIO(), io.BytesIO()
    # The user's own matplotlibrc does not reach in, and the SVG's ids do not change from run to run.
    with matplotlib.style.context(["default", {"svg.hashsalt": "clipbench", "font.size": 11}]):
        figure = Figure(figsize=(7.2, 0.6 + 2.4 * len(panels)), layout="constrained")
        figure.suptitle(title, parse_math=False)
        grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
        for (label, curves), axes in zip(panels.items(), grid.flat, strict=True):
            _draw_panel(axes, label, curves)
        grid.flat[-1].set_xlabel("step")
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", dpi=160, metadata={"Software": None})
    return svg.getvalue(), png.getvalue()


def _curves(log: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, list[tuple[int, float]]]:
    """Label to (step, value); a curve without a value is left out."""
    found = {
        label: [(entry["step"], float(entry[name])) for entry in log if _is_number(entry.get(name))]
        for name, label in names.items()
    }
    return {label: curve for label, curve in found.items() if curve}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _draw_panel(axes: Axes, label: str, curves: Mapping[str, list[tuple[int, float]]]) -> None:
    share = label.endswith("(%)")
    axes.set_ylabel(label)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for color, (name, curve) in zip(_COLORS, curves.items(), strict=False):
        steps, means, least, most = np.array(thinned(curve)).T
        axes.fill_between(steps, least, most, color=color, alpha=0.15, linewidth=0)
        axes.plot(steps, means, color=color, linewidth=1.4, label=name, marker="o" if len(steps) == 1 else None)
    if share:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=9)
