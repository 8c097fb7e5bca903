"""`clipbench import-scores`: score tasks with similarities that were computed elsewhere."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.command import Command
from clipbench.cli.console import complain, note
from clipbench.cli.display import display
from clipbench.cli.options import evaluation_options
from clipbench.cli.result_tables import print_results

if TYPE_CHECKING:
    from clipbench.errors import ResultError
    from clipbench.evaluation.options import EvaluationOptions


@click.command("import_scores", cls=Command)
@click.argument("scores", type=click.Path(path_type=Path))
@evaluation_options
@click.option("--name", "-n", required=True, help="The model's name in the results.")
@click.option("--output_path", "-o", type=click.Path(path_type=Path), help="Folder for results and samples.")
def command(
    scores: Path, options: EvaluationOptions, tasks: str, style: str, name: str, output_path: Path | None
) -> int:
    """Score pairs, ranking and choice tasks with similarities that were computed elsewhere.

    SCORES is a file of JSON lines with `doc_id` (as in sample logs) and `scores` (a row per image), or a CSV with the
    columns `doc_id`, `image`, `text` and `score`.

    \b
    clipbench import-scores scores.jsonl --tasks winoground --data winoground=FOLDER --name their-model -o results
    """
    from clipbench.evaluation.preparation import prepare_tasks
    from clipbench.results import ResultsDirectory

    errors: list[ResultError] = []
    directory = ResultsDirectory(output_path, name, datetime.now()) if output_path else None
    prepared = prepare_tasks(tasks, options, display.advance)
    from clipbench.evaluation.imported_scores import ScoreFile, import_scores

    file = ScoreFile(scores)
    results = import_scores(
        file, prepared, options, name=name, directory=directory, on_progress=display.advance, on_error=errors.append
    )
    print_results(results, style)
    for task, report in results.tasks.items():
        if report.error:
            complain(report.error)
        for problem in report.problems if not report.error else ():
            note(f"{task}: {problem}")
    if file.unused:
        note(f"{scores}: {file.unused:,} samples belong to none of the tasks")
    for error in errors:
        complain(str(error))
    if directory and directory.results_path.exists():
        note(f"results in {directory.results_path}")
    return 1 if results.failed or errors else 0
