"""Figures for notebooks and papers; each function returns a figure of matplotlib.

>>> import clipbench
>>> figure = clipbench.plot.tradeoff("out/base", "out/finetuned")  # doctest: +SKIP
>>> figure.savefig("tradeoff.pdf")  # doctest: +SKIP
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.analysis.published import ORIGINAL
from clipbench.analysis.tradeoff import FILE_NAME, Point, Tradeoff, point_from_results, read_tradeoff
from clipbench.analysis.tradeoff_figure import tradeoff_figure
from clipbench.analysis.tradeoff_overlay import overlay
from clipbench.errors import ConfigError
from clipbench.results import Results, read_results
from clipbench.results.files import result_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Run = Results | str | Path
"""Results, a result file or a folder with those of one model, or a folder with a ``tradeoff.json``."""


def tradeoff(
    *runs: Run | Mapping[str, Run], base: Run | None = None, title: str = "Concept accuracy against retrieval"
) -> Figure:
    """Draw concept accuracy against retrieval (text-to-image Recall@5), a panel for each task.

    A run of results is a point; a training's folder, or that of ``clipbench interpolate``, is a curve.

    Args:
        *runs: The runs, or a mapping of names to runs. Results are called by their model's name.
        base: What fine-tuning started from, drawn in black; a training's folder has its own.
        title: Written above.

    Raises:
        ConfigError: There is no run.
        ResultError: A run cannot be read, has not exactly one retrieval task and another task, or was scored on
            other samples than the first.
    """
    named = [(name, run) for name, run in _named(runs) if run is not base]
    if not named and base is None:
        raise ConfigError("tradeoff: name at least one run")
    original = {} if base is None else {"base": _as_original(_as_tradeoff("base", base))}
    return tradeoff_figure(overlay({**original, **{name: _as_tradeoff(name, run) for name, run in named}}, title))


def _named(runs: tuple[Run | Mapping[str, Run], ...]) -> list[tuple[str, Run]]:
    """Every run with a name; those of one name are numbered."""
    found: list[tuple[str, Run]] = []
    for run in runs:
        found += run.items() if isinstance(run, Mapping) else [(_name(run), run)]
    counts, seen = Counter(name for name, _ in found), Counter[str]()
    for place, (name, run) in enumerate(found):
        seen[name] += 1
        found[place] = (name if counts[name] == 1 else f"{name} ({seen[name]})", run)
    return found


def _name(run: Run) -> str:
    return run.model_name if isinstance(run, Results) else Path(run).resolve().name


def _as_tradeoff(name: str, run: Run) -> Tradeoff:
    if not isinstance(run, Results):
        place = Path(run)
        if (place / FILE_NAME).exists() or place.name == FILE_NAME:
            return read_tradeoff(place)
        run = read_results(result_files(place)[-1])
    return Tradeoff(title=name, points=(point_from_results(run, curve=name, label=run.model_name),))


def _as_original(run: Tradeoff) -> Tradeoff:
    """Its first point as the one that training started from."""
    first: Point = run.points[0].model_copy(update={"curve": ORIGINAL})
    return run.model_copy(update={"points": (first,)})
