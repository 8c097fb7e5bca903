"""`clipbench eval`: score a model on tasks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.command import RESUME, Command
from clipbench.cli.completion import complete_models
from clipbench.cli.console import Complaints, complain, note
from clipbench.cli.display import display
from clipbench.cli.model_list import NamedModel, named_models
from clipbench.cli.option_flags import comma_separated
from clipbench.cli.options import evaluation_options, model_args_option, text_cleaning_option
from clipbench.cli.result_tables import print_profile, print_results, print_standings
from clipbench.cli.values import check_device, check_dtype, parse_cache_folder, parse_model_args
from clipbench.errors import ClipbenchError, ConfigError, ResultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from clipbench.analysis.standings import Standing
    from clipbench.evaluation.options import EvaluationOptions
    from clipbench.evaluation.runner import EvaluationRun
    from clipbench.results import Results
    from clipbench.task_types.base import Task
    from clipbench.types import SampleResult

    OnSample = Callable[[str, SampleResult], None]
    Evaluate = Callable[[NamedModel, OnSample | None], EvaluationRun]


@click.command("eval", cls=Command)
@click.option(
    "--model", "-M", "models", required=True, multiple=True, metavar="MODEL", shell_complete=complete_models,
    help="A hub id, a folder, open_clip:ARCH/TAG, or hf with --model_args; a .txt or .yaml file of models. Repeatable.",
)  # fmt: skip
@model_args_option
@text_cleaning_option
@evaluation_options
@click.option("--device", callback=check_device, help="cpu, cuda, cuda:1, mps. Default: a GPU if there is one.")
@click.option(
    "--dtype",
    callback=check_dtype,
    help="float32, float16 or bfloat16, for the encoders; scores are always float32.",
)
@click.option(
    "--torch_compile",
    is_flag=True,
    help="Compile both encoders with torch.compile (about a minute; worthwhile for long runs).",
)
@click.option("--output_path", "-o", type=click.Path(path_type=Path), help="Folder for results and samples.")
@click.option("--log_samples", "-s", is_flag=True, help="Also write every sample's texts and scores.")
@click.option(
    "--use_cache", "-c", metavar="[DIR]", is_flag=False, flag_value="",
    help="Keep embeddings between runs. Default folder: $CLIPBENCH_CACHE or ~/.cache/clipbench.",
)  # fmt: skip
@click.option("--no_resume", is_flag=True, help="Start over instead of resuming an unfinished run in --output_path.")
@click.option(
    "--report_to", default="", metavar="NAMES", callback=comma_separated,
    help="Also log the scores to wandb, trackio, mlflow, …, separated by commas.",
)  # fmt: skip
@click.option("--profile", is_flag=True, help="Report a timing breakdown.")
@click.option("--trust_remote_code", is_flag=True, help="Run code that comes with a checkpoint.")
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed for plug-in tasks that sample; built-in tasks are deterministic.",
)
def command(
    models: tuple[str, ...],
    model_args: str,
    text_cleaning: str | None,
    options: EvaluationOptions,
    tasks: str,
    style: str,
    device: str | None,
    dtype: str | None,
    torch_compile: bool,
    output_path: Path | None,
    log_samples: bool,
    use_cache: str | None,
    no_resume: bool,
    report_to: tuple[str, ...],
    profile: bool,
    trust_remote_code: bool,
    seed: int,
) -> int:
    """Score a model on tasks.

    \b
    clipbench eval --model openai/clip-vit-base-patch32 --tasks inpaintcoco_color
    clipbench eval --model open_clip:ViT-B-32/laion2b_s34b_b79k --tasks coco --data coco=COCO_FOLDER
    clipbench eval --model openai/clip-vit-base-patch32 --model models.txt --tasks scenes
    torchrun --nproc_per_node 4 -m clipbench eval --model … --tasks coco --output_path OUT
    """
    from clipbench.evaluation.preparation import prepare_tasks
    from clipbench.models import check_name, model_name
    from clipbench.models.registry import opens_images
    from clipbench.results import ResultsDirectory
    from clipbench.task_types.registry import select_tasks
    from clipbench.utils.distributed import started_processes
    from clipbench.utils.trackers import check_trackers

    if log_samples and output_path is None:
        raise ConfigError("log_samples needs output_path")
    options = replace(options, seed=seed, use_cache=parse_cache_folder(use_cache))
    # What is likely to fail is tried before a model is loaded, the cheapest first.
    chosen = named_models(models, parse_model_args(model_args, text_cleaning))
    for model in chosen:
        check_name(model.name)
    selected = select_tasks(tasks, options.include_path)
    check_trackers(report_to)
    with started_processes() as processes:
        started = datetime.now()
        directories = {
            model: ResultsDirectory(output_path, model_name(model.name, model.args), started)
            for model in chosen
            if output_path and processes.is_main
        }
        prepared = prepare_tasks(selected, options, display.advance)
        images_needed = all(opens_images(model.name) for model in chosen)
        if all(task.error and (images_needed or not task.report.missing) for task in prepared):
            for task in prepared:
                complain(task.error or "")
            return 1
        # These import torch, which is not needed to report bad usage.
        display.advance("loading torch", 0, None)
        from clipbench.evaluation.runner import EvaluationRun
        from clipbench.models import load_model

        def evaluate(model: NamedModel, on_sample: OnSample | None = None) -> EvaluationRun:
            display.advance(f"loading model {model.name}", 0, None)
            return EvaluationRun(
                load_model(
                    model.name,
                    model_args=model.args,
                    device=device or processes.device,
                    dtype=dtype,
                    trust_remote_code=trust_remote_code,
                    torch_compile=torch_compile,
                ),
                prepared,
                options,
                directory=directories.get(model),
                log_samples=log_samples,
                resume=not no_resume,
                profile=profile,
                config={"model_args": {**model.args, "device": device, "dtype": dtype,
                                       "trust_remote_code": trust_remote_code}},
                processes=processes,
                on_progress=display.advance,
                on_encoded=display.encoded,
                on_note=note,
                on_sample=on_sample,
            )  # fmt: skip

        if len(chosen) > 1:
            results, rows, code = _evaluate_all(chosen, evaluate, [task.task for task in prepared], processes.is_main)
            if processes.is_main:
                print_standings(rows, results, style)
                code = max(code, _track(results.values(), report_to, output_path))
            return code
        run = evaluate(chosen[0])
        interrupted = _finish(run)
        if processes.is_main:
            _report(run, style, interrupted)
            return max(_exit_code(run, interrupted), _track([run.results], report_to, output_path))
        return _exit_code(run, interrupted)


def _finish(run: EvaluationRun, models: int = 1, number: int = 0) -> bool:
    """Score all tasks of one of several models; returns whether that was interrupted."""
    before, total = number * len(run.tasks), models * len(run.tasks)
    what = "tasks" if models == 1 else f"tasks of {models} models"
    try:
        for done, _ in enumerate(chain([None], run), before):
            if total > 1:
                display.advance_outer(what, done, total)
    except KeyboardInterrupt:
        return True
    return False


def _exit_code(run: EvaluationRun, interrupted: bool) -> int:
    if interrupted or run.results is None:
        return 130
    return 1 if run.results.failed or run.write_error or run.sample_errors else 0


def _evaluate_all(
    models: Sequence[NamedModel], evaluate: Evaluate, tasks: Sequence[Task], is_main: bool
) -> tuple[dict[str, Results | None], list[Standing], int]:
    """Evaluate one model after another; one that fails does not end the others."""
    from clipbench.analysis.standings import Answers, standings
    from clipbench.models import model_name

    answers, worst = Answers(), 0
    metrics = {task.name: task.primary_metric for task in tasks}
    results: dict[str, Results | None] = {}
    for number, model in enumerate(models):
        name = model_name(model.name, model.args)
        results[name] = None

        def add(task: str, result: SampleResult, name: str = name) -> None:
            answers.add(name, task, result, metrics[task])

        try:
            run = evaluate(model, add)
            interrupted = _finish(run, len(models), number)
        except ClipbenchError as error:
            complain(f"{name}: {error}")
            worst = 1
            continue
        results[name] = run.results
        if is_main and run.results:
            _report_rest(run, run.results, interrupted, prefix=f"{name}: ")
        worst = max(worst, _exit_code(run, interrupted))
        if interrupted:
            break
        del run  # or two models would be in memory at once
    return results, standings(results, list(metrics), answers), worst


def _track(runs: Iterable[Results | None], names: Sequence[str], output_path: Path | None) -> int:
    """Log runs to trackers; returns the exit code."""
    if not names:
        return 0
    from clipbench.results.trackers import report_results

    complaints = Complaints()
    for results in filter(None, runs):
        try:
            report_results(results, names, output_path or Path())
        except ResultError as error:
            complaints(str(error))
    return 1 if complaints.any else 0


def _report(run: EvaluationRun, style: str, interrupted: bool) -> None:
    """Print the results on stdout, and on stderr what went wrong."""
    if run.results is None:
        complain(f"interrupted before a task was finished{_resume(run)}")
        return
    try:
        print_results(run.results, style)
    finally:  # even if stdout is full, report where results were saved
        _report_rest(run, run.results, interrupted)


def _report_rest(run: EvaluationRun, results: Results, interrupted: bool, prefix: str = "") -> None:
    for task, report in results.tasks.items():
        if report.error:
            complain(prefix + report.error)
        else:
            for problem in report.problems:
                note(f"{prefix}{task}: {problem}")
    if results.profile:
        print_profile(results.profile)
    if run.write_error:
        complain(prefix + str(run.write_error))
    elif run.directory:
        note(f"{prefix}results in {run.directory.results_path}")
    for error in run.sample_errors:
        complain(prefix + str(error))
    if interrupted:
        complain(f"{prefix}interrupted{_resume(run)}")


def _resume(run: EvaluationRun) -> str:
    return RESUME.removeprefix("interrupted") if run.directory else "; with --output_path the same command would resume"
