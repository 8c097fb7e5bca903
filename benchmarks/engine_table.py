"""The table that benchmarks/engine.py prints, and the figures that it writes."""

from __future__ import annotations

import statistics
from typing import Any, Literal

from benchmarks.figures import Figure

Answer = dict[str, Any]


def median(answers: list[Answer], clock: str) -> float:
    """The median of a clock, `wall` or `cpu`, in seconds."""
    return float(statistics.median(answer[clock] for answer in answers))


class Table:
    """Lines of a table in Markdown, printed as they come.

    Attributes:
        figures: What `--json` writes.
    """

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        print("| part | what | wall s | CPU s |\n|---|---|---|---|")

    def show(self, part: str, name: str, answers: list[Answer], figure: str = "", target: float | None = None) -> None:
        """A contender's medians; its wall time under the name `figure` is kept."""
        wall = median(answers, "wall")
        aim = "" if target is None else f" (target < {target:g})"
        print(f"| {part} | {name}{aim} | {wall:.2f} | {median(answers, 'cpu'):.2f} |", flush=True)
        if figure:
            self.figures.append(Figure(f"{part}, {figure}", wall, "s", target=target))

    def ratio(
        self,
        part: str,
        what: str,
        over: list[Answer],
        under: list[Answer],
        better: Literal["lower", "higher"] = "higher",
        target: float | None = None,
    ) -> None:
        """How many times the one's seconds are the other's."""
        wall, cpu = (median(over, clock) / median(under, clock) for clock in ("wall", "cpu"))
        sign = "≥" if better == "higher" else "≤"
        aim = "" if target is None else f" (target {sign} {target:g})"
        print(f"| {part} | **{what}**{aim} | **{wall:.2f} ×** | **{cpu:.2f} ×** |", flush=True)
        self.figures.append(Figure(f"{part}, {what}", wall, "×", better, target))
        self.figures.append(Figure(f"{part}, {what}, CPU time", cpu, "×", better))

    def say(self, part: str, what: str, figure: Figure | None = None) -> None:
        """A finding in words."""
        print(f"| {part} | {what} | | |", flush=True)
        if figure is not None:
            self.figures.append(figure)
