"""The figures' part of docs/performance.md, and its plot, made from stored runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.suite.catalog import CATALOG
from benchmarks.suite.plot import draw
from benchmarks.suite.report import RESULTS, Outcome, Report, read_report

DOCS = Path(__file__).parents[2] / "docs"
PAGE, PLOT = DOCS / "performance.md", DOCS / "images" / "performance.svg"
_PART = re.compile(r"<!-- figures of (?P<files>.*?) -->\n.*<!-- end of figures -->", re.DOTALL)
_MET = {None: "", True: "yes", False: "**no**"}


def write_page(files: Sequence[Path]) -> None:
    """Replace the figures and draw the plot.

    Args:
        files: Stored runs in ``benchmarks/results``, such as one on a CPU and one on a GPU.

    Raises:
        ValueError: A file is not in that folder, or the page has no place for figures.
    """
    if not files or any(file.resolve().parent != RESULTS for file in files):
        raise ValueError(f"name files of {RESULTS}")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_figures(text, [file.name for file in files]), encoding="utf-8")
    draw(targets(read_report(file) for file in files), PLOT)


def with_figures(text: str, names: Sequence[str], folder: Path = RESULTS) -> str:
    """A page with the figures of these files between its markers."""
    if not _PART.search(text):
        raise ValueError("the page has no `<!-- figures of FILE -->` … `<!-- end of figures -->`")
    parts = [figures_part(read_report(folder / name)) for name in names]
    made = "\n\n".join([f"<!-- figures of {' '.join(names)} -->", *parts, "<!-- end of figures -->"])
    return _PART.sub(lambda _: made, text)


def files_of(text: str) -> list[str]:
    """The files whose figures a page says that it has."""
    found = _PART.search(text)
    return found["files"].split() if found else []


def figures_part(report: Report) -> str:
    """Machine, a table for each benchmark that was measured, and what was not."""
    titles = {benchmark.name: benchmark.title for benchmark in CATALOG}
    parts = [_machine(report)]
    left = []
    for name in (*titles, *(name for name in report.benchmarks if name not in titles)):
        outcome = report.benchmarks.get(name)
        if outcome is None:
            continue
        if outcome.status == "measured":
            parts.append(_section(name, titles.get(name, ""), outcome))
        else:
            left.append(f"`{name}` ({outcome.reason})")
    if left:
        parts.append(f"Not measured in this run: {'; '.join(left)}.")
    return "\n\n".join(parts)


def _machine(report: Report) -> str:
    machine, software = report.machine, report.software
    gpu = f"{machine['gpu']}; " if machine["gpu"] else ""
    versions = ", ".join(f"{name} {software[name]}" for name in ("torch", "transformers", "open_clip_torch"))
    return (
        f"{gpu}{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, {machine['memory_gib']} GiB;"
        f" {machine['system']}; Python {software['python']}, {versions}; {report.date[:10]}, commit"
        f" {software['commit']}. Medians, where there were several rounds."
    )


def _section(name: str, title: str, outcome: Outcome) -> str:
    lines = [f"**`{name}`**: {title}.", "", f"`{outcome.command}`", ""]
    lines += ["| figure | value | unit | target | met |", "|---|--:|---|--:|---|"]
    return "\n".join([*lines, *(_row(figure) for figure in _named(name, outcome))])


def _named(benchmark: str, outcome: Outcome) -> list[Figure]:
    """Its figures, without the benchmark's own name before theirs."""
    return [replace(figure, name=figure.name.removeprefix(f"{benchmark}, ")) for figure in outcome.figures]


def _row(figure: Figure) -> str:
    sign = "≤" if figure.better == "lower" else "≥"
    target = "" if figure.target is None else f"{sign} {shown(figure.target)}"
    return f"| {figure.name} | {shown(figure.value)} | {figure.unit} | {target} | {_MET[figure.met]} |"


def shown(value: float) -> str:
    """A number in three digits, or whole.

    >>> [shown(value) for value in (21883.4, 350, 9.634, 0.98765, 0.00004, 20)]
    ['21,883', '350', '9.63', '0.988', '4e-05', '20']
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def targets(reports: Iterable[Report]) -> list[tuple[str, Figure]]:
    """Figures to be drawn, those with a target, with their benchmark's name, in the catalog's order."""
    order = [benchmark.name for benchmark in CATALOG]
    return [
        (name, figure)
        for report in reports
        for name in sorted(report.benchmarks, key=lambda name: order.index(name) if name in order else len(order))
        for figure in _named(name, report.benchmarks[name])
        if (figure.target or 0) > 0 and figure.value > 0  # what is nothing has no ratio
    ]
