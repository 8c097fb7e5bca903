"""`clipbench validate`: check tasks' data without a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from clipbench.cli.command import Command
from clipbench.cli.console import complain, print_rows
from clipbench.cli.display import display
from clipbench.cli.options import task_options
from clipbench.cli.values import parse_pairs


@click.command("validate", cls=Command, words_are="--tasks")
@task_options
@click.option("--decode/--no_decode", default=True, show_default=True, help="Also open every image.")
def command(
    tasks: str,
    data: tuple[str, ...],
    include_path: tuple[Path, ...],
    limit: int | float | None,
    streaming: bool,
    num_workers: int,
    style: str,
    decode: bool,
) -> int:
    """Check tasks' data without a model: count samples, missing images and invalid rows, and score blind rules.

    Blind rules see no image; a model should score higher than they do.

    \b
    clipbench validate scenes
    clipbench validate coco_color coco_size --data coco=COCO_FOLDER

    Exits with status 1 if a task's data cannot be read at all; gaps are reported and are no error.
    """
    from clipbench.evaluation.data_report import validate_task
    from clipbench.evaluation.options import EvaluationOptions
    from clipbench.evaluation.preparation import DataSources
    from clipbench.task_types.registry import select_tasks
    from clipbench.utils.text import format_error

    chosen = select_tasks(tasks, include_path)
    sources = DataSources(chosen, EvaluationOptions(data=parse_pairs(data, "--data"), streaming=streaming))
    rows: list[tuple[Any, ...]] = []
    failed = False
    for task in chosen:
        display.advance(f"{task.name}: data", 0, None)
        try:
            workers = num_workers if decode else 0
            report = validate_task(
                task, sources.source_for(task), limit=limit, workers=workers, on_progress=display.advance
            )
            blind = report.blind_scores()
        except Exception as error:  # a plug-in's task may raise anything; the other tasks go on
            complain(f"{task.name}: {format_error(error)}")
            failed = True
            rows.append((task.name, 0, task.expected_n, 0, 0, {}, {}, [format_error(error)]))
            continue
        counts = len(report.missing), len(report.invalid)
        floors = blind.pop(task.primary_metric, {}), blind
        rows.append((task.name, report.n, task.expected_n, *counts, *floors, report.problems))
    headers = ("task", "n", "expected_n", "missing_images", "invalid", "blind", "blind_balanced", "problems")
    if style != "json":
        rows = [
            (name, n, expected or "", *counts, _shares(blind), _shares_by_metric(balanced), "; ".join(problems))
            for name, n, expected, *counts, blind, balanced, problems in rows
        ]
    print_rows(headers, rows, style)
    return 1 if failed else 0


def _shares_by_metric(blind: Mapping[str, Mapping[str, float]]) -> str:
    return "; ".join(f"{metric}: {_shares(rules)}" for metric, rules in blind.items())


def _shares(blind: Mapping[str, float]) -> str:
    return ", ".join(f"{rule} {share:.4f}" for rule, share in blind.items())
