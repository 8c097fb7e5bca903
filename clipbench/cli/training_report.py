"""The end of `clipbench finetune`: what it gained, what it cost, and the cure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.cli.console import note, print_rows, say

if TYPE_CHECKING:
    from clipbench.evaluation.options import EvaluationOptions
    from clipbench.training.gains import Change


def print_changes(changes: Sequence[Change]) -> None:
    """Print each task's score before and after, with the 95 % interval of the difference."""
    if changes:
        say("")  # below the table of checkpoints
        headers = ["task", "base", "trained", "change", "95 % interval", ""]
        print_rows(headers, [_row(change) for change in changes], "table")


def hint_at_interpolation(
    changes: Sequence[Change], base: str | None, output_path: Path, options: EvaluationOptions
) -> None:
    """Where retrieval fell, say how to get some of it back.

    Args:
        changes: Scores before and after.
        base: The base model as `clipbench interpolate` takes it; None if it takes none, so that nothing is said.
        output_path: The run's folder.
        options: How the two models were scored.
    """
    fallen = [change for change in changes if change.retrieval and change.verdict == "worse"]
    if not fallen or base is None:
        return
    costs = ", ".join(f"{change.task} lost {-change.difference:.4f} ({change.metric})" for change in fallen)
    words = ["clipbench", "interpolate", base, str(output_path), "--tasks", ",".join(change.task for change in changes)]
    words += [word for name, place in options.data.items() for word in ("--data", f"{name}={place}")]
    words += ["--limit", str(options.limit)] if options.limit else []
    words += ["--output_path", f"{output_path}-between"]
    note(f"{costs}; weights between the two models often keep most of the gain: {shlex.join(words)}")


def _row(change: Change) -> list[str]:
    interval = "" if change.interval is None else f"{change.interval.low:+.4f} … {change.interval.high:+.4f}"
    values = f"{change.base:.4f}", f"{change.trained:.4f}", f"{change.difference:+.4f}"
    return [change.task, *values, interval, change.verdict]
