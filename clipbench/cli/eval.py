"""`clipbench eval`: score a model on tasks."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from clipbench.cli.console import complain
from clipbench.cli.evaluation_run import EvaluationRun, bar_of
from clipbench.cli.options import parse_batch_size, parse_cache_folder, parse_model_args, parse_pairs, task_options
from clipbench.errors import ConfigError


@click.command("eval")
@click.option("--model", "-M", required=True, help="A hub id, a folder, open_clip:ARCH/TAG, or hf with --model_args.")
@click.option("--model_args", "-a", default="", metavar="K=V,…|JSON", help="pretrained=…, revision=…, dtype=…")
@task_options
@click.option("--batch_size", "-b", default="auto", show_default=True, help="N or auto; halves when memory runs out.")
@click.option("--device", help="cpu, cuda, cuda:1, mps. Default: a GPU where there is one.")
@click.option("--dtype", help="float32, float16 or bfloat16, for the encoders; scores are always float32.")
@click.option("--torch_compile", is_flag=True, help="Compile the towers: takes a minute, for long runs.")
@click.option("--output_path", "-o", type=click.Path(path_type=Path), help="Folder for results and samples.")
@click.option("--log_samples", "-s", is_flag=True, help="Also write every sample's texts and scores.")
@click.option(
    "--use_cache", metavar="[DIR]", is_flag=False, flag_value="",
    help="Keep embeddings between runs. Default folder: $CLIPBENCH_CACHE or ~/.cache/clipbench.",
)  # fmt: skip
@click.option("--no_resume", is_flag=True, help="Begin anew where --output_path holds the very same run, unfinished.")
@click.option("--profile", is_flag=True, help="Also say where the time went.")
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
    torch_compile: bool,
    output_path: Path | None,
    log_samples: bool,
    use_cache: str | None,
    no_resume: bool,
    profile: bool,
    allow_missing: bool,
    trust_remote_code: bool,
    seed: int,
) -> int:
    """Score a model on tasks.

    \b
    clipbench eval --model openai/clip-vit-base-patch32 --tasks inpaintcoco_color
    clipbench eval --model open_clip:ViT-B-32/laion2b_s34b_b79k --tasks coco --data coco=COCO_FOLDER
    torchrun --nproc_per_node 4 -m clipbench eval --model … --tasks coco --output_path OUT
    """
    from clipbench.evaluation.preparation import EvaluationOptions, prepare_tasks
    from clipbench.models import load_model, model_name
    from clipbench.results import ResultsDirectory
    from clipbench.task_types.registry import select_tasks
    from clipbench.utils.distributed import started_processes

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
        include_path=include_path,
        use_cache=parse_cache_folder(use_cache),
    )
    arguments = parse_model_args(model_args)
    # What can be known to fail is found before the model is loaded, the cheapest first.
    chosen = select_tasks(tasks, include_path)
    with started_processes() as processes:
        place = output_path if processes.is_main else None
        folder = ResultsDirectory(place, model_name(model, arguments), datetime.now()) if place else None
        with bar_of(processes) as advance:
            plans = list(prepare_tasks(chosen, options, advance))
        if all(plan.error for plan in plans):
            for plan in plans:
                complain(plan.error or "")
            return 1
        asked = {
            "tasks": [task.name for task in chosen],
            "model_args": {**arguments, "device": device, "dtype": dtype, "trust_remote_code": trust_remote_code},
        }
        device = device or processes.device
        loaded = load_model(
            model,
            model_args=arguments,
            device=device,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            torch_compile=torch_compile,
        )
        run = EvaluationRun(plans, loaded, options, asked, folder, processes)
        run.log_samples, run.resume, run.profile = log_samples, not no_resume, profile
        run.go()
        return run.report(style) if processes.is_main else run.code
