"""`clipbench finetune`: train a model on hard negatives."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from clipbench.cli.console import headline, note, print_rows, progress_bar, training_bar
from clipbench.cli.options import config_option, parse_model_args, parse_pairs
from clipbench.errors import ConfigError

if TYPE_CHECKING:
    from clipbench.training.recipe import Precision
    from clipbench.training.trainer import FineTuning, StepLog


def _names(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _places(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    return parse_pairs(value, "--eval_data")


@click.command("finetune")
@click.option("--model", "-M", help="The model to start from, as in `clipbench eval`.")
@click.option("--vision", metavar="ID", help="With --text: pair any two encoders of transformers instead.")
@click.option("--text", metavar="ID", help="With --vision: the text encoder.")
@click.option("--model_args", "-a", default="", metavar="K=V,…|JSON", help="pretrained=…, revision=…")
@click.option(
    "--data",
    required=True,
    metavar="NAME[=PLACE]|FILE",
    help="coco, coco=FOLDER, flickr30k=FOLDER, scenes[=PICTURES], or a table or folder of captioned images.",
)
@click.option(
    "--concept",
    "concepts",
    required=True,
    metavar="NAMES",
    callback=_names,
    help="Concepts or YAML files, joined by commas; captions that hold a keyword are trained on.",
)
@click.option(
    "--negatives",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Hard negatives a caption; 0 is classical training.",
)
@click.option(
    "--loss",
    default="inbatch_replacement",
    show_default=True,
    help="inbatch_replacement (the paper), negclip, svlc or fsc.",
)
@click.option(
    "--negatives_in",
    type=click.Choice(("both", "rows")),
    default="both",
    show_default=True,
    help="Whether the text→image half of the loss sees the replaced cells too.",
)
@click.option(
    "--output_path",
    "-o",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of checkpoints, and in the end of the model. Where a run stopped in it, it goes on.",
)
@click.option(
    "--batch_size",
    "-b",
    type=click.IntRange(min=2),
    default=64,
    show_default=True,
    help="Pairs a step, over all processes.",
)
@click.option(
    "--micro_batch_size",
    "micro_batch_size",
    type=click.IntRange(min=1),
    help="Pairs through the towers at once, to save memory; the loss still sees the whole batch.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--max_steps", type=click.IntRange(min=1), help="Stop after N steps, whatever --epochs says.")
@click.option("--learning_rate", "--lr", type=float, default=5e-6, show_default=True)
@click.option("--lr_schedule", type=click.Choice(("constant", "cosine")), default="constant", show_default=True)
@click.option("--warmup_steps", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--cooldown_steps",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Last steps, over which the rate falls to zero.",
)
@click.option("--weight_decay", type=float, default=0.1, show_default=True, help="AdamW's, on matrices only.")
@click.option("--max_grad_norm", type=float, help="Scale gradients down to this norm.")
@click.option(
    "--precision",
    type=click.Choice(("auto", "fp32", "fp16", "bf16")),
    default="auto",
    show_default=True,
    help="Of the encoders; weights, loss and optimiser are fp32. auto: half on a GPU, fp32 on a CPU.",
)
@click.option(
    "--freeze", default="", metavar="TOWERS", callback=_names, help="image or text: a tower that keeps its weights."
)
@click.option(
    "--lora_rank",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Train low-rank adapters of this rank instead (clipbench[lora]); they are merged when saved.",
)
@click.option("--lora_alpha", type=float, help="Scale of the adapters. Default: twice the rank.")
@click.option("--checkpoint_every", type=float, default=0.1, show_default=True, help="In epochs.")
@click.option("--keep", type=click.IntRange(min=1), help="Keep the newest N checkpoints only.")
@click.option("--eval_tasks", default="", metavar="NAMES", help="Score every checkpoint on these tasks.")
@click.option(
    "--eval_data", multiple=True, metavar="NAME=PLACE", callback=_places, help="Their data, as `clipbench eval --data`."
)
@click.option("--eval_limit", type=click.IntRange(min=1), help="Samples a task.")
@click.option("--limit", "-L", type=click.IntRange(min=1), help="Train on the first N captions only.")
@click.option("--allow_missing", is_flag=True, help="Train on what is there where images are missing or broken.")
@click.option(
    "--cache_dir", "cache", type=click.Path(path_type=Path), help="Decoded images. Default: ~/.cache/clipbench."
)
@click.option(
    "--num_workers", "workers", type=click.IntRange(min=1), default=2, show_default=True, help="Threads that decode."
)
@click.option("--device", help="cpu, cuda, cuda:1. Default: a GPU where there is one.")
@click.option(
    "--report_to",
    "trackers",
    default="",
    metavar="NAMES",
    callback=_names,
    help="tensorboard, wandb, …, joined by commas.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@config_option
def command(
    model: str | None,
    vision: str | None,
    text: str | None,
    model_args: str,
    output_path: Path,
    precision: Precision | Literal["auto"],
    **flags: Any,
) -> int:
    """Train a model on captions of a concept, with hard negatives.

    \b
    clipbench finetune --model openai/clip-vit-base-patch32 --data coco=COCO_FOLDER --concept color --output_path out
    clipbench finetune --model demo --data scenes --concept location --freeze image --lr 2e-3 --output_path out
    """
    from clipbench.training.recipe import Recipe
    from clipbench.training.setup import FinetuneOptions
    from clipbench.training.trainer import FineTuning

    name, arguments = _model(model, vision, text, parse_model_args(model_args))
    how = {field.name: flags.pop(field.name) for field in fields(FinetuneOptions) if field.name in flags}
    recipe = Recipe(precision=_precision(precision, how["device"]), **flags)
    options = FinetuneOptions(model_args=arguments, **how)
    with progress_bar() as advance:
        tuning = FineTuning(name, recipe, options, output_path, note, advance)
    pairs = tuning.prepared.pairs
    if tuning.is_main:
        note(f"{len(pairs):,} captions of {len(set(pairs.image_of.tolist())):,} images, {tuning.steps:,} steps")
    _follow(tuning)
    if tuning.is_main:
        note(f"the model is in {output_path}: clipbench eval --model {output_path} --tasks …")
    return 0


def _model(
    model: str | None, vision: str | None, text: str | None, arguments: dict[str, object]
) -> tuple[str, dict[str, object]]:
    if model and not vision and not text:
        return model, arguments
    if vision and text and not model:
        return "dual_encoder", {**arguments, "vision": vision, "text": text}
    raise ConfigError("name what to start from: --model M, or --vision ID and --text ID")


def _precision(asked: Precision | Literal["auto"], device: str | None) -> Precision:
    # The paper trained in FP16; bf16 needs no loss scaling where the GPU has it. CPUs are faster in fp32.
    if asked != "auto":
        return asked
    import torch

    if not torch.cuda.is_available() or (device is not None and not device.startswith("cuda")):
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def _follow(tuning: FineTuning) -> None:
    """Run it, with a bar on a terminal and a line a checkpoint anywhere, and print the checkpoints' scores."""
    from clipbench.training.trainer import StepLog

    rows: list[list[str]] = []
    headers: list[str] = []
    last: StepLog | None = None
    with training_bar(tuning.steps) as advance:
        for event in tuning.run():
            if not tuning.is_main:
                continue
            if isinstance(event, StepLog):
                last = event
                advance(event.step, f"loss {event.loss:.3f}  {event.samples_per_second:,.0f} samples/s")
                continue
            if event.path and last:
                epoch, speed = f"epoch {last.epoch:.2f}", f"{last.samples_per_second:,.0f} samples/s"
                note(f"step {event.step:,} of {tuning.steps:,}, {epoch}, loss {last.loss:.3f}, {speed}: {event.path}")
            if event.results:
                scores = headline(event.results)
                headers = ["Step", *scores]
                rows.append([f"{event.step:,}", *scores.values()])
    if rows:
        print_rows(headers, rows, "table")
