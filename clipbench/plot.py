"""Figures for notebooks and papers, which a notebook shows by itself.

>>> import clipbench
>>> figure = clipbench.plot.tradeoff("out/base", "out/finetuned")  # doctest: +SKIP
>>> figure.savefig("tradeoff.pdf")  # doctest: +SKIP
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clipbench.analysis.contact_sheet import draw_sheet, make_contact_sheet
from clipbench.analysis.published import ORIGINAL
from clipbench.analysis.tradeoff import FILE_NAME, Point, Tradeoff, point_from_results, read_tradeoff
from clipbench.analysis.tradeoff_figure import tradeoff_figure
from clipbench.analysis.tradeoff_overlay import overlay
from clipbench.errors import ConfigError, ResultError
from clipbench.results import Results, read_results
from clipbench.results.files import result_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

Run = Results | str | Path
"""Results, a result file or a folder with those of one model, or a folder with a ``tradeoff.json``."""

_Read = Results | list[Results] | Tradeoff  # a point, the points of a curve, or what a file holds


def tradeoff(
    *runs: Run | Mapping[str, Run | Sequence[Run]],
    base: Run | None = None,
    title: str = "Concept accuracy against retrieval",
) -> Figure:
    """Draw concept accuracy against retrieval (text-to-image Recall@5), a panel for each task.

    A run of results is a point; a training's folder, or that of ``clipbench interpolate``, is a curve.

    Args:
        *runs: The runs, or a mapping of names to runs, or to the runs along a curve. Results are called by their
            model's name.
        base: What fine-tuning started from, drawn in black; a training's folder has its own.
        title: Written above.

    Raises:
        ConfigError: There is no run.
        ResultError: A run cannot be read, has not exactly one retrieval task and another task, or was scored on
            other samples than the first.
    """
    named = {name: _as_tradeoff(name, read) for name, read in _named(runs) if read is not base}
    if not named and base is None:
        raise ConfigError("tradeoff: name at least one run")
    original = {} if base is None else {"base": _as_original(_as_tradeoff("base", _read(base)))}
    return tradeoff_figure(overlay({**original, **named}, title))


def contact_sheet(
    run: Run,
    task: str,
    which: Literal["wrong", "right", "all"] = "wrong",
    most: int = 8,
    *,
    data: Mapping[str, str] | None = None,
) -> Image:
    """Draw logged samples of a task, with their images, texts and scores.

    Args:
        run: Results that were written with their samples (``output_path`` and ``log_samples``), or where they lie.
        task: The task.
        which: What the model got wrong, right, or both.
        most: Samples at most.
        data: Data set name to place, if it has moved since the run.

    Raises:
        ResultError: There are no such results or samples.
        DataError: The data is no longer there.
    """
    if isinstance(run, Results):
        if run.path is None:
            raise ResultError("the results are in memory only: evaluate with output_path and log_samples")
        place = run.path
    else:
        place = result_files(Path(run))[-1]
    return draw_sheet(make_contact_sheet(place, task, which, most, data=data))


def _named(runs: Sequence[Run | Mapping[str, Run | Sequence[Run]]]) -> list[tuple[str, _Read]]:
    """Every run with a name; those of one name are numbered."""
    found: list[tuple[str, _Read]] = []
    for run in runs:
        if isinstance(run, Mapping):
            found += [(name, _read_curve(each)) for name, each in run.items()]
        else:
            read = _read(run)
            name = read.model_name if isinstance(read, Results) else _folder(run).resolve().name
            found.append((name, read))
    counts, seen = Counter(name for name, _ in found), Counter[str]()
    for place, (name, known) in enumerate(found):
        seen[name] += 1
        found[place] = (name if counts[name] == 1 else f"{name} ({seen[name]})", known)
    return found


def _read_curve(runs: Run | Sequence[Run]) -> _Read:
    if isinstance(runs, Results | str | Path):
        return _read(runs)
    read = [_read(run) for run in runs]
    several = [run for run in read if isinstance(run, Results)]
    if not several or len(several) < len(read):
        raise ConfigError("tradeoff: the runs along a curve are results, at least one")
    return several


def _read(run: Run) -> Results | Tradeoff:
    if isinstance(run, Results):
        return run
    if (_folder(run) / FILE_NAME).exists():
        return read_tradeoff(_folder(run))
    return read_results(result_files(Path(run))[-1])


def _folder(run: Run) -> Path:
    place = Path(str(run))
    return place.parent if place.name == FILE_NAME else place


def _as_tradeoff(name: str, run: _Read) -> Tradeoff:
    if isinstance(run, Tradeoff):
        return run
    along = [run] if isinstance(run, Results) else run
    return Tradeoff(
        title=name, points=tuple(point_from_results(each, curve=name, label=each.model_name) for each in along)
    )


def _as_original(run: Tradeoff) -> Tradeoff:
    """Its first point as the one that training started from."""
    first: Point = run.points[0].model_copy(update={"curve": ORIGINAL})
    return run.model_copy(update={"points": (first,)})
