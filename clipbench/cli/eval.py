"""`clipbench eval`: score a model on tasks."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.command import Command
from clipbench.cli.console import complain, note, print_profile, print_results, progress_bar
from clipbench.cli.options import (
    check_device,
    check_dtype,
    evaluation_options,
    parse_cache_folder,
    parse_model_args,
    text_cleaning_option,
)
from clipbench.errors import ConfigError

if TYPE_CHECKING:
    from clipbench.evaluation.options import EvaluationOptions
    from clipbench.evaluation.runner import EvaluationRun
    from clipbench.results import Results


@click.command("eval", cls=Command)
@click.option("--model", "-M", required=True, help="A hub id, a folder, open_clip:ARCH/TAG, or hf with --model_args.")
@click.option("--model_args", "-a", default="", metavar="K=V,…|JSON", help="pretrained=…, revision=…, dtype=…")
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
    "--use_cache", metavar="[DIR]", is_flag=False, flag_value="",
    help="Keep embeddings between runs. Default folder: $CLIPBENCH_CACHE or ~/.cache/clipbench.",
)  # fmt: skip
@click.option("--no_resume", is_flag=True, help="Start over instead of resuming an unfinished run in --output_path.")
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
    model: str,
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
    profile: bool,
    trust_remote_code: bool,
    seed: int,
) -> int:
    """Score a model on tasks.

    \b
    clipbench eval --model openai/clip-vit-base-patch32 --tasks inpaintcoco_color
    clipbench eval --model open_clip:ViT-B-32/laion2b_s34b_b79k --tasks coco --data coco=COCO_FOLDER
    torchrun --nproc_per_node 4 -m clipbench eval --model … --tasks coco --output_path OUT
    """
    from clipbench.evaluation.options import ignore_progress
    from clipbench.evaluation.preparation import prepare_tasks
    from clipbench.models import check_name, load_model, model_name
    from clipbench.results import ResultsDirectory
    from clipbench.task_types.registry import select_tasks
    from clipbench.utils.distributed import started_processes

    if log_samples and output_path is None:
        raise ConfigError("log_samples needs output_path")
    options = replace(options, seed=seed, use_cache=parse_cache_folder(use_cache))
    arguments = parse_model_args(model_args, text_cleaning)
    # What is likely to fail is tried before the model is loaded, the cheapest first.
    check_name(model)
    selected = select_tasks(tasks, options.include_path)
    with started_processes() as processes, ExitStack() as stack:
        directory = None
        if output_path and processes.is_main:
            directory = ResultsDirectory(output_path, model_name(model, arguments), datetime.now())
        advance = stack.enter_context(progress_bar()) if processes.is_main else ignore_progress
        prepared = prepare_tasks(selected, options, advance)
        if all(task.error for task in prepared):
            for task in prepared:
                complain(task.error or "")
            return 1
        from clipbench.evaluation.runner import EvaluationRun  # brings torch, which bad usage does without

        run = EvaluationRun(
            load_model(
                model,
                model_args=arguments,
                device=device or processes.device,
                dtype=dtype,
                trust_remote_code=trust_remote_code,
                torch_compile=torch_compile,
            ),
            prepared,
            options,
            directory=directory,
            log_samples=log_samples,
            resume=not no_resume,
            profile=profile,
            config={
                "model_args": {**arguments, "device": device, "dtype": dtype, "trust_remote_code": trust_remote_code},
            },
            processes=processes,
            on_progress=advance,
            on_note=note,
        )
        interrupted = False
        try:
            for _ in run:
                pass
        except KeyboardInterrupt:
            interrupted = True
        stack.close()  # ends the progress bar
        if processes.is_main:
            _report(run, style, interrupted)
        if interrupted or run.results is None:
            return 130
        return 1 if run.results.failed or run.write_error or run.sample_errors else 0


def _report(run: EvaluationRun, style: str, interrupted: bool) -> None:
    """Print the results on stdout, and on stderr what went wrong."""
    if run.results is None:
        complain("interrupted before a task was finished")
        return
    try:
        print_results(run.results, style)
    finally:  # stdout may be full: what was saved is said all the same
        _report_rest(run, run.results, interrupted)


def _report_rest(run: EvaluationRun, results: Results, interrupted: bool) -> None:
    for task, report in results.tasks.items():
        if report.error:
            complain(report.error)
        else:
            for problem in report.problems:
                note(f"{task}: {problem}")
    if results.profile:
        print_profile(results.profile)
    if run.write_error:
        complain(str(run.write_error))
    elif run.directory:
        note(f"results in {run.directory.results_path}")
    for error in run.sample_errors:
        complain(str(error))
    if interrupted:
        complain("interrupted; results of completed tasks were saved")
