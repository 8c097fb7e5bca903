"""`clipbench embed`: write the embeddings of all images and texts of some tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.command import Command
from clipbench.cli.completion import complete_models
from clipbench.cli.console import complain, note
from clipbench.cli.display import display
from clipbench.cli.options import evaluation_options, model_args_option, text_cleaning_option
from clipbench.cli.values import check_device, check_dtype, parse_model_args
from clipbench.errors import ConfigError
from clipbench.models.embedding_file import SUFFIXES

if TYPE_CHECKING:
    from clipbench.evaluation.options import EvaluationOptions


@click.command("embed", cls=Command)
@click.option("--model", "-M", required=True, shell_complete=complete_models, help="As in `clipbench eval`.")
@model_args_option
@text_cleaning_option
@evaluation_options
@click.option("--device", callback=check_device, help="cpu, cuda, cuda:1, mps. Default: a GPU if there is one.")
@click.option("--dtype", callback=check_dtype, help="float32, float16 or bfloat16, for the encoders.")
@click.option("--trust_remote_code", is_flag=True, help="Run code that comes with a checkpoint.")
@click.option(
    "--output_path", "-o", type=click.Path(path_type=Path, dir_okay=False), required=True,
    help="A .npz, .safetensors or .parquet file.",
)  # fmt: skip
def command(
    model: str,
    model_args: str,
    text_cleaning: str | None,
    options: EvaluationOptions,
    tasks: str,
    style: str,
    device: str | None,
    dtype: str | None,
    trust_remote_code: bool,
    output_path: Path,
) -> int:
    """Write the embeddings of all images and texts of some tasks.

    `clipbench eval --model embeddings:FILE` scores them, and gives the scores of the model itself.

    \b
    clipbench embed --model openai/clip-vit-base-patch32 --tasks coco --data coco=COCO_FOLDER -o coco.parquet
    clipbench eval --model embeddings:coco.parquet --tasks coco --data coco=COCO_FOLDER
    """
    if output_path.suffix not in SUFFIXES:
        raise ConfigError(f"--output_path {output_path}: embeddings are written to {', '.join(SUFFIXES)} files")
    from clipbench.evaluation.preparation import prepare_tasks

    prepared = prepare_tasks(tasks, options, display.advance)
    failed = [task for task in prepared if task.error]
    for task in failed:
        complain(task.error or "")
    if len(failed) == len(prepared):
        return 1
    display.advance(f"loading model {model}", 0, None)
    from clipbench.evaluation.embedding import embed_tasks
    from clipbench.models import load_model
    from clipbench.models.embedding_file import write_embeddings

    loaded = load_model(
        model,
        model_args=parse_model_args(model_args, text_cleaning),
        device=device,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
    )
    usable = [task for task in prepared if not task.error]
    write_embeddings(output_path, embed_tasks(loaded, usable, options, display.advance, display.encoded))
    note(f"embeddings in {output_path}")
    return 1 if failed else 0
