"""What a study confirms or not."""

from __future__ import annotations

from dataclasses import dataclass

from clipbench.reproduce.intervals import Estimate
from clipbench.reproduce.lookup import CellKey


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding for one concept.

    Attributes:
        statement: What the paper found.
        criterion: When it counts as held.
        base_model: Whose models.
        concept: The concept.
        task: The task it was checked on.
        observed: What was measured, in words and numbers.
        held: Whether the study confirms it.
    """

    statement: str
    criterion: str
    base_model: str
    concept: str
    task: str
    observed: str
    held: bool


def make_finding(key: CellKey, statement: str, criterion: str, observed: str, *, held: bool) -> Finding:
    """A finding on the task, concept and base model of a cell."""
    return Finding(statement, criterion, key.base_model, key.concept or "", key.task, observed, held)


def points(gain: Estimate) -> str:
    """Percentage points with the interval.

    Examples:
        >>> points(Estimate(0.1051, 0.021, 3))
        '+10.5 ± 2.1'
    """
    return f"{100 * gain.value:+.1f} ± {100 * gain.margin:.1f}"
