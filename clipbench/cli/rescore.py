"""`clipbench rescore`: metrics recomputed from logged scores."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.command import Command
from clipbench.cli.console import FORMATS, Complaints, note, print_rows, say_json

if TYPE_CHECKING:
    from clipbench.analysis.rescoring import RescoredTask


@click.command("rescore", cls=Command)
@click.argument("samples", type=click.Path(path_type=Path))
@click.option("--tasks", "-t", metavar="NAMES", help="Tasks and globs, separated by commas. Default: all logged ones.")
@click.option("--include_path", multiple=True, type=click.Path(path_type=Path), help="Where additional tasks are.")
@click.option("--format", "style", type=click.Choice(FORMATS), default="table", show_default=True)
def command(samples: Path, tasks: str | None, include_path: tuple[Path, ...], style: str) -> int:
    """Recompute metrics from logged scores, without a model.

    SAMPLES is a sample log of `clipbench eval --log_samples`, a result file with samples, or a folder with those of one
    model. Samples whose outcome differs from what was logged are counted. If a log is damaged, this is reported, the
    others are rescored, and the exit code is 1.
    """
    from clipbench.analysis.rescoring import rescore

    complaints = Complaints()
    found = rescore(samples, tasks, include_path=include_path, on_error=complaints)
    if style == "json":
        say_json({rescored.task: _facts(rescored) for rescored in found})
    else:
        headers = ("task", "metric", "value", "stderr", "n", "changed")
        print_rows(headers, [row for rescored in found for row in _rows(rescored)], style)
    for rescored in found:
        for line in rescored.notes:
            note(line)
        if rescored.changed:
            count, name = len(rescored.changed), rescored.changed[0]
            note(f"{rescored.task}: {count:,} samples have another outcome than was logged: {name}, …")
    return 1 if complaints.any else 0


def _rows(rescored: RescoredTask) -> list[list[str]]:
    rows = []
    for place, (metric, mean) in enumerate(rescored.metrics.items()):
        first = [rescored.task, str(len(rescored.changed))] if place == 0 else ["", ""]
        stderr = "–" if math.isnan(mean.stderr) else f"± {mean.stderr:.4f}"
        rows.append([first[0], metric, f"{mean.mean:.4f}", stderr, str(mean.count), first[1]])
    return rows


def _facts(rescored: RescoredTask) -> dict[str, object]:
    def number(value: float) -> float | None:
        return None if math.isnan(value) else value

    metrics = {
        metric: {"value": number(mean.mean), "stderr": number(mean.stderr), "n": mean.count}
        for metric, mean in rescored.metrics.items()
    }
    breakdown = {part: {"value": mean.mean, "n": mean.count} for part, mean in sorted(rescored.breakdown.items())}
    return {
        "primary_metric": rescored.primary_metric,
        "metrics": metrics,
        "breakdown": breakdown,
        "changed": rescored.changed,
    }
