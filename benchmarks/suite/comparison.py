"""What got slower, or bigger, since another run."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.figures import Figure
from benchmarks.suite.machine import same_machine
from benchmarks.suite.report import Report

TOLERANCE = 0.10
_UNITS_OF_ANY_MACHINE = ("×", "%")


@dataclass(frozen=True)
class Change:
    """A figure in two runs."""

    benchmark: str
    before: Figure
    after: Figure

    @property
    def worse_by(self) -> float:
        """By what share of the former value it got worse: 0.2 for 20 %, negative where it got better."""
        difference = self.after.value - self.before.value
        if self.after.better == "higher":
            difference = -difference
        if self.before.value == 0:
            return 0.0 if difference == 0 else float("inf") if difference > 0 else float("-inf")
        return difference / abs(self.before.value)

    def __str__(self) -> str:
        unit = self.after.unit
        values = f"{self.before.value:.4g} → {self.after.value:.4g} {unit}"
        return f"{self.benchmark}, {self.after.name}: {values}, {100 * self.worse_by:+.0f} % (more is worse)"


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common.

    Attributes:
        changes: Figures that both have, in the same unit; on different machines only ratios and shares.
        same_machine: Whether times were compared too.
        gone: Figures that only the former run has, of benchmarks that the later one measured.
    """

    changes: tuple[Change, ...]
    same_machine: bool
    gone: tuple[str, ...]

    @property
    def worse(self) -> tuple[Change, ...]:
        """Those that got worse by more than 10 %, the worst first."""
        found = [change for change in self.changes if change.worse_by > TOLERANCE]
        return tuple(sorted(found, key=lambda change: -change.worse_by))

    def lines(self) -> list[str]:
        """What to tell."""
        told = [] if self.same_machine else ["The machines differ: only ratios and shares are compared."]
        told += [f"no longer measured: {name}" for name in self.gone]
        told += [f"WORSE  {change}" for change in self.worse]
        better = sum(change.worse_by < -TOLERANCE for change in self.changes)
        count = f"{len(self.changes)} figures compared"
        return [*told, f"{count}: {len(self.worse)} worse and {better} better by more than {TOLERANCE:.0%}"]


def compare(before: Report, after: Report) -> Comparison:
    """Compare figure by figure."""
    alike = same_machine(before.machine, after.machine)
    changes, gone = [], []
    for name, outcome in after.benchmarks.items():
        if outcome.status != "measured" or name not in before.benchmarks:
            continue
        now = {figure.name: figure for figure in outcome.figures}
        for figure in before.benchmarks[name].figures:
            found = now.get(figure.name)
            if found is None or found.unit != figure.unit:
                gone.append(f"{name}, {figure.name} ({figure.unit})")
            elif alike or figure.unit in _UNITS_OF_ANY_MACHINE:
                changes.append(Change(name, figure, found))
    return Comparison(tuple(changes), alike, tuple(gone))
