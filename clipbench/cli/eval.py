"""`clipbench eval`: score a model on tasks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.console import complain, note, print_results, progress_bar
from clipbench.cli.options import parse_batch_size, parse_model_args, parse_pairs, task_options
from clipbench.errors import ConfigError

if TYPE_CHECKING:
    from clipbench.evaluation import EvaluationOptions, Plan, TaskResult
    from clipbench.models import Model
    from clipbench.results import Results, ResultsDirectory


@click.command("eval")
@click.option("--model", "-M", required=True, help="A hub id, a folder, open_clip:ARCH/TAG, or hf with --model_args.")
@click.option("--model_args", "-a", default="", metavar="K=V,…|JSON", help="pretrained=…, revision=…, dtype=…")
@task_options
@click.option("--batch_size", "-b", default="auto", show_default=True, help="N or auto; halves when memory runs out.")
@click.option("--device", help="cpu, cuda, cuda:1, mps. Default: a GPU where there is one.")
@click.option("--dtype", help="float32, float16 or bfloat16, for the encoders; scores are always float32.")
@click.option("--output_path", "-o", type=click.Path(path_type=Path), help="Folder for results and samples.")
@click.option("--log_samples", "-s", is_flag=True, help="Also write every sample's texts and scores.")
@click.option("--allow_missing", is_flag=True, help="Score what is there where images or rows are missing.")
@click.option("--trust_remote_code", is_flag=True, help="Run code that comes with a checkpoint.")
@click.option("--seed", type=int, default=0, show_default=True, help="For plugins that draw; clipbench draws nothing.")
def command(
    model: str,
    model_args: str,
    tasks: str,
    data: tuple[str, ...],
    include_path: tuple[Path, ...],
    limit: int | None,
    streaming: bool,
    num_workers: int,
    style: str,
    batch_size: str,
    device: str | None,
    dtype: str | None,
    output_path: Path | None,
    log_samples: bool,
    allow_missing: bool,
    trust_remote_code: bool,
    seed: int,
) -> int:
    """Score a model on tasks.

    \b
    clipbench eval --model openai/clip-vit-base-patch32 --tasks inpaintcoco_color
    clipbench eval --model open_clip:ViT-B-32/laion2b_s34b_b79k --tasks coco --data coco=COCO_FOLDER
    """
    from clipbench.evaluation import EvaluationOptions, plan_tasks
    from clipbench.models import load_model, name_of
    from clipbench.plugins import select_tasks
    from clipbench.results import ResultsDirectory

    if log_samples and output_path is None:
        raise ConfigError("--log_samples needs --output_path")
    options = EvaluationOptions(
        data=parse_pairs(data, "--data"),
        batch_size=parse_batch_size(batch_size),
        limit=limit,
        allow_missing=allow_missing,
        streaming=streaming,
        workers=num_workers,
        seed=seed,
    )
    arguments = parse_model_args(model_args)
    # What can be known to fail is found before the model is loaded, the cheapest first.
    chosen = select_tasks(tasks, include_path)
    folder = ResultsDirectory(output_path, name_of(model, arguments), datetime.now()) if output_path else None
    plans = list(plan_tasks(chosen, options))
    if all(plan.error for plan in plans):
        for plan in plans:
            complain(plan.error or "")
        return 1

    loaded = load_model(model, model_args=arguments, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
    results, interrupted = _run(plans, loaded, options, folder, log_samples)
    print_results(results, style)
    for task, report in results.tasks.items():
        if report.error:
            complain(report.error)
        else:
            for problem in report.problems:
                note(f"{task}: {problem}")
    if folder:
        note(f"results in {folder.results_path}")
    if interrupted:
        complain("interrupted: the tasks above are done and kept")
        return 130
    return 1 if results.failed else 0


def _run(
    plans: Sequence[Plan], model: Model, options: EvaluationOptions, folder: ResultsDirectory | None, log_samples: bool
) -> tuple[Results, bool]:
    """Run the tasks, writing the results after each one. Returns them, and whether Ctrl-C ended the run."""
    from clipbench.evaluation import run_plan
    from clipbench.report import assemble_results
    from clipbench.scoring import Scorer

    started, interrupted = time.time(), False
    done: list[TaskResult] = []
    with Scorer(model, options.batch_size, options.workers) as scorer, progress_bar() as advance:
        for plan in plans:
            sink = folder.samples(plan.task.name) if folder and log_samples and not plan.error else None
            try:
                done.append(run_plan(plan, scorer, options, sink, advance))
            except KeyboardInterrupt:
                interrupted = True
                break
            if folder:
                folder.write(assemble_results(done, model, options, started))
    results = assemble_results(done, model, options, started)
    if folder:
        folder.write(results)
    return results, interrupted
