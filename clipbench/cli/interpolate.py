"""`clipbench interpolate`: score the models between a model and its fine-tuned version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.command import Command
from clipbench.cli.completion import complete_models
from clipbench.cli.console import complain, note, print_rows, say_json
from clipbench.cli.display import display
from clipbench.cli.options import evaluation_options, text_cleaning_option
from clipbench.cli.values import check_device, parse_model_args
from clipbench.errors import ConfigError, ResultError

if TYPE_CHECKING:
    from clipbench.analysis.tradeoff import Point
    from clipbench.evaluation.options import EvaluationOptions
    from clipbench.results import Results


@click.command("interpolate", cls=Command, resumable=True)
@click.argument("base", shell_complete=complete_models)
@click.argument("finetuned", shell_complete=complete_models)
@click.option("--alpha", "alphas", default="0,0.1,…,1", show_default=True, help="Shares of FINETUNED; … or ... fills.")
@text_cleaning_option
@evaluation_options
@click.option("--device", callback=check_device, help="cpu, cuda, cuda:1, mps. Default: a GPU if available.")
@click.option("--output_path", "-o", type=click.Path(path_type=Path), required=True, help="Folder for all results.")
@click.option("--save", metavar="A,…", help="Also write the models of these alphas: OUT/alpha-0.50/model.")
@click.option("--trust_remote_code", is_flag=True, help="Run code that comes with a checkpoint.")
def command(
    base: str,
    finetuned: str,
    alphas: str,
    text_cleaning: str | None,
    options: EvaluationOptions,
    tasks: str,
    style: str,
    device: str | None,
    output_path: Path,
    save: str | None,
    trust_remote_code: bool,
) -> int:
    """Score (1 − α) · BASE + α · FINETUNED for several α (WiSE-FT, arXiv 2109.01903).

    What a run has finished, the next one with the same OUT does not do again.

    \b
    clipbench interpolate openai/clip-vit-base-patch32 out/checkpoint --tasks coco_color,coco_retrieval -o wise
    """
    from clipbench.evaluation.preparation import prepare_tasks
    from clipbench.models import load_model
    from clipbench.task_types.registry import select_tasks
    from clipbench.training.interpolation import parse_alphas

    shares, saved = parse_alphas(alphas), parse_alphas(save) if save else ()
    if not set(saved) <= set(shares):
        raise ConfigError(f"--save {save}: not among --alpha {alphas}")
    chosen = select_tasks(tasks, options.include_path)
    # Imports torch, which is not needed to report bad usage.
    from clipbench.training.interpolation_scores import alpha_folders, score_interpolations

    folders = alpha_folders(output_path, shares)
    plans = prepare_tasks(chosen, options, display.advance)
    errors = [plan.error for plan in plans if plan.error]
    for error in errors:
        complain(error)
    plans = [plan for plan in plans if plan.error is None]
    if not plans:
        return 1
    arguments = parse_model_args("", text_cleaning)
    display.advance(f"loading models {base} and {finetuned}", 0, None)
    original, changed = (
        load_model(name, model_args=arguments, device=device, trust_remote_code=trust_remote_code)
        for name in (base, finetuned)
    )
    scored: dict[float, Results] = {}
    unwritten: list[ResultError] = []
    interrupted = False
    try:
        display.advance_outer("alphas", 0, len(folders))
        for alpha, results in score_interpolations(
            original, changed, folders, plans, options,
            save=saved, on_progress=display.advance, on_note=note, on_error=unwritten.append,
        ):  # fmt: skip
            scored[alpha] = results
            display.advance_outer("alphas", len(scored), len(folders))
    except KeyboardInterrupt:
        interrupted = True
        complain(f"interrupted: {len(scored)} of {len(folders)} alphas are saved; run the same command to resume")
    failed = _finish(scored, _short(base), _short(finetuned), output_path, style)
    for failure in unwritten:
        complain(str(failure))
    return 130 if interrupted else 1 if errors or failed or unwritten else 0


def _short(model: str) -> str:
    """A model in the figure: a folder's own name, anything else as written."""
    return Path(model).resolve().name if Path(model).exists() else model


def _finish(scored: Mapping[float, Results], base: str, finetuned: str, output_path: Path, style: str) -> bool:
    """Print the table and draw the figure. Returns whether a task failed."""
    from clipbench.analysis.tradeoff_figure import draw_tradeoff
    from clipbench.training.interpolation_scores import interpolation_points

    try:
        points = interpolation_points(scored, base, finetuned)
    except ResultError as error:
        points = []
        note(f"no figure: {error}")
    if scored:
        _print_table(scored, points, style)
    if points:
        title = f"Weights between {base} and {finetuned}"
        note(f"figure in {', '.join(map(str, draw_tradeoff(points, output_path, title)))}")
    for line in _notes(scored):
        note(line)
    problems = {report.error for results in scored.values() for report in results.tasks.values() if report.error}
    for problem in sorted(problems):
        complain(problem)
    return bool(problems)


def _notes(scored: Mapping[float, Results]) -> list[str]:
    """Notes on the numbers, once each, with the alphas that they concern if these are not all."""
    from clipbench.training.interpolation import alpha_name

    alphas: dict[str, list[str]] = {}
    for alpha, results in scored.items():
        for task, report in results.tasks.items():
            for problem in [] if report.error else report.problems:
                alphas.setdefault(f"{task}: {problem}", []).append(alpha_name(alpha))
    return [line if len(some) == len(scored) else f"alpha {', '.join(some)}: {line}" for line, some in alphas.items()]


def _print_table(scored: Mapping[float, Results], points: list[Point], style: str) -> None:
    """Print a row for each α; a star marks points on a task's Pareto front."""
    from clipbench.training.interpolation import alpha_name
    from clipbench.training.interpolation_scores import alphas_on_front

    tasks = {task: report for results in scored.values() for task, report in results.tasks.items()}
    headers, rows = ["alpha"], [[alpha_name(alpha)] for alpha in scored]
    objects: list[dict[str, object]] = [{"alpha": alpha} for alpha in scored]
    for task, report in tasks.items():
        metric = report.primary_metric
        front = alphas_on_front(points, task)
        headers += [f"{task} {metric}", *(["Pareto"] if front else [])]
        for (alpha, results), row, entry in zip(scored.items(), rows, objects, strict=True):
            result = results.tasks.get(task)
            measure = result.primary if result and not result.error else None
            row += [str(measure or "failed"), *(["*" if alpha in front else ""] if front else [])]
            value, stderr = (measure.value, measure.stderr) if measure else (None, None)
            entry[task] = {"metric": metric, "value": value, "stderr": stderr, "pareto": alpha in front}
    if style == "json":
        say_json(objects)
    else:
        print_rows(headers, rows, style)
