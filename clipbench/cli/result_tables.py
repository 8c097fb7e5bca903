"""Results as tables: of one run, of several models, and of where a run's time went."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from clipbench.cli.console import note, print_rows, say_file, say_json

if TYPE_CHECKING:
    from clipbench.analysis.standings import Standing
    from clipbench.results import Measure, Results


def print_results(results: Results, style: str) -> None:
    """Print a run's results on stdout: all of them as JSON, or the metrics as a table."""
    if style == "json":
        say_file(results.to_json())
        return
    rows: list[list[str]] = []
    for name, result in results.tasks.items():
        version, counts = str(result.version), result.counts
        if not result.metrics:
            cells = ["failed", "", "", ""] if result.error else [result.primary_metric, *_cells(None), ""]
            cells.append("")
            rows.append([name, version, *cells, f"0/{counts.original}"])
        amount = f"{counts.effective}/{result.expected_n or counts.original}"
        for place, (metric, measure) in enumerate(result.metrics.items()):
            chance = result.chance if metric == result.primary_metric else None
            start, end = ([name, version], amount) if place == 0 else (["", ""], "")
            rows.append([*start, metric, *_cells(measure), _floor(chance), _floor(result.blind_floor(metric)), end])
    for name, group in results.groups.items():
        if group.metric:
            title = f"{name}, mean" if group.complete else f"{name} (incomplete), mean"
            rows.append([title, "", group.metric, *_cells(group.mean), "", "", f"{len(group.tasks)} tasks"])
    print_rows(["task", "version", "metric", "value", "stderr", "chance", "blind", "n"], rows, style)


def print_standings(rows: Sequence[Standing], results: Mapping[str, Results | None], style: str) -> None:
    """Print several models' results on stdout: all of them as JSON, or a table of tasks by models.

    The best value of a task is marked ``*``, and those significantly worse ``-``.
    """
    if style == "json":
        say_json(
            {
                "results": {name: None if one is None else json.loads(one.to_json()) for name, one in results.items()},
                "standings": [asdict(row) for row in rows],
            }
        )
        return
    tasks = {row.task: row.metric for row in rows if row.metric}
    cells = {(row.task, row.model): row for row in rows}
    table = [
        [task, metric, *_floors(task, results.values()), *(_standing(cells.get((task, model))) for model in results)]
        for task, metric in tasks.items()
    ]
    print_rows(["task", "metric", "chance", "blind", *results], table, style)
    if table:
        note("* best on the task; - significantly worse (exact paired test by image, p < 0.05 with Holm's correction)")


def _floors(task: str, runs: Iterable[Results | None]) -> tuple[str, str]:
    """Chance and the best rule that sees no image, from the first model that was scored on the task."""
    scored = (run.tasks[task] for run in runs if run is not None and task in run.tasks and run.tasks[task].metrics)
    result = next(scored, None)
    return ("", "") if result is None else (_floor(result.chance), _floor(result.best_blind))


def _standing(row: Standing | None) -> str:
    if row is None or row.value is None:
        return "failed"
    return f"{row.value:.4f}{'*' if row.best else '-' if row.worse else ' '}"


def print_profile(profile: Mapping[str, Any]) -> None:
    """Report on stderr where a run's time went."""
    stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in profile["seconds"].items())
    note(f"time: {stages} (decoding is summed over threads)")
    for what in ("images", "texts"):
        rate = profile[f"{what}_per_second"]
        asked = f" of {profile['texts_asked']:,} asked for" if what == "texts" else ""
        note(f"{profile[what]:,} {what} encoded{asked}" + (f", {rate:,.1f} {what}/s" if rate else ""))
    if profile.get("tokens_asked"):
        share = profile["tokens"] / profile["tokens_asked"]
        note(f"{profile['tokens']:,} tokens computed, of {profile['tokens_asked']:,} with padding ({share:.1%})")


def _floor(share: float | None) -> str:
    return "" if share is None else f"{share:.4f}"


def _cells(measure: Measure | None) -> list[str]:
    """A value and its standard error."""
    if measure is None:
        return ["–", "–"]
    return [f"{measure.value:.4f}", "–" if measure.stderr is None else f"± {measure.stderr:.4f}"]


def headline(results: Results) -> dict[str, str]:
    """Task to its primary metric, written with its standard error."""
    return {name: str(result.primary or "–") for name, result in results.tasks.items()}
