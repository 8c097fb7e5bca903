"""`clipbench finetune`: train a model on hard negatives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clipbench.cli.command import Command
from clipbench.cli.completion import (
    complete_models,
    complete_training_data,
)
from clipbench.cli.console import note, print_rows
from clipbench.cli.display import display
from clipbench.cli.finetune_flags import RECIPE, RUN
from clipbench.cli.options import config_option, model_args_option, text_cleaning_option
from clipbench.cli.result_tables import headline
from clipbench.cli.training_report import hint_at_interpolation, print_changes
from clipbench.cli.values import parse_model_args
from clipbench.errors import ConfigError
from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import (
    Recipe,
)

if TYPE_CHECKING:
    from clipbench.training.events import StepLog
    from clipbench.training.trainer import FineTuning


@click.command("finetune", cls=Command, resumable=True)
@click.option("--model", "-M", shell_complete=complete_models, help="The model to start from, as in `clipbench eval`.")
@click.option("--vision", metavar="ID", help="With --text: pair any two encoders of transformers instead.")
@click.option("--text", metavar="ID", help="With --vision: the text encoder.")
@click.option(
    "--pooling",
    metavar="KIND|SIDE=KIND,…",
    help="Of paired encoders: pooler, cls, mean, or for texts last or eos, such as image=mean,text=cls."
    " Default: as the checkpoint says.",
)
@click.option(
    "--projection",
    metavar="KIND|SIDE=KIND,…",
    help="Of paired encoders: linear (the default), linear_bias, mlp or none, such as image=mlp,text=linear.",
)
@click.option("--projection_dim", type=click.IntRange(1, 65536), help="Dimensions of their shared space. Default: 512.")
@model_args_option
@text_cleaning_option
@click.option(
    "--train_data",
    required=True,
    metavar="NAME|FILE",
    shell_complete=complete_training_data,
    help="coco, flickr8k, flickr30k, sbu, fashion200k, scenes[=PICTURES], or a table or folder of captioned images.",
)
@click.option(
    "--output_path",
    "-o",
    type=click.Path(path_type=Path),
    required=True,
    help="Directory for checkpoints and the final model; an unfinished run in it is resumed.",
)
@RECIPE
@RUN
@config_option
def command(
    model: str | None,
    vision: str | None,
    text: str | None,
    pooling: str | None,
    projection: str | None,
    projection_dim: int | None,
    model_args: str,
    text_cleaning: str | None,
    train_data: str,
    output_path: Path,
    **flags: Any,
) -> int:
    """Train a model on captions of a concept, with hard negatives.

    \b
    clipbench finetune --model openai/clip-vit-base-patch32 --train_data coco --data coco=COCO_FOLDER \\
        --concept color --output_path out
    clipbench finetune --model demo --train_data scenes --concept location \\
        --freeze image,image_projection --lr 2e-3 --output_path out
    """
    pair = {**_sides("pooling", pooling), **_sides("projection", projection)}
    if projection_dim is not None:
        pair["projection_dim"] = projection_dim
    name, arguments = _model(model, vision, text, parse_model_args(model_args, text_cleaning), pair)
    recipe, options = RECIPE.build(flags), RUN.build(flags, model_args=arguments)
    _check_names(train_data, recipe, options)
    from clipbench.training.trainer import FineTuning  # imports torch, which is not needed to report bad usage

    tuning = FineTuning.prepare(name, train_data, recipe, options, output_path, note, display.advance)
    pairs = tuning.setup.pairs
    if tuning.is_main:
        captions = f"{len(pairs.rows_of(0)):,} captions"
        mixed = [f"{len(pairs.rows_of(number)):,} of {name}" for number, name in enumerate(pairs.mixed, 1)]
        images = f"{len(set(pairs.image_of.tolist())):,} images"
        note(f"{', '.join([captions, *mixed])} of {images}, {tuning.steps:,} steps")
        if options.keep is None and (kept := tuning.setup.options.checkpoints_kept):
            note(f"of the checkpoints, the newest {kept} are kept, and the scores of all; --keep all keeps every one")
    _follow(tuning)
    if tuning.is_main:
        print_changes(tuning.changes)
        hint_at_interpolation(tuning.changes, None if arguments else model, output_path, tuning.setup.scores.options)
        note(f"model saved to {output_path}: clipbench eval --model {output_path} --tasks …")
    return 0


def _check_names(train_data: str, recipe: Recipe, options: FinetuneOptions) -> None:
    """Refuse unknown concepts and tasks, and more negatives than there are, before anything is loaded."""
    from clipbench.task_types.registry import select_tasks
    from clipbench.training.datasets import training_concepts
    from clipbench.training.pairs import check_negatives
    from clipbench.training.selection import scored_tasks

    concepts = training_concepts(train_data, recipe.concepts)
    if not recipe.negatives_from:
        check_negatives(concepts, recipe.negatives)
    if scored := scored_tasks(options.eval_tasks, recipe.select):
        select_tasks(scored)
    elif options.eval_limit:
        raise ConfigError("eval_limit: has no effect without eval_tasks")


def _model(
    model: str | None, vision: str | None, text: str | None, arguments: dict[str, object], pair: dict[str, object]
) -> tuple[str, dict[str, object]]:
    """The model's name and arguments; ``pair`` are those of pairing that have flags of their own."""
    if model and not vision and not text:
        if pair:
            flags = " and ".join(
                dict.fromkeys(f"--{name.removeprefix('image_').removeprefix('text_')}" for name in pair)
            )
            raise ConfigError(f"{flags}: for --vision and --text; {model} has its own")
        return model, arguments
    if vision and text and not model:
        if twice := [name for name in pair if name in arguments]:
            raise ConfigError(f"--model_args {twice[0]}: a flag gives it, too")
        return "dual_encoder", {**arguments, "vision": vision, "text": text, **pair}
    raise ConfigError("name the model to start from: --model M, or --vision ID and --text ID")


def _sides(name: str, value: str | None) -> dict[str, object]:
    """``mean`` or ``image=mean,text=cls`` as model arguments."""
    if value is None:
        return {}
    if "=" not in value:
        return {f"{side}_{name}": value for side in ("image", "text")}
    sides: dict[str, object] = {}
    for part in value.split(","):
        side, _, kind = (word.strip() for word in part.partition("="))
        if side not in ("image", "text") or not kind or f"{side}_{name}" in sides:
            raise ConfigError(f"--{name} {value}: give a kind, or image=KIND,text=KIND")
        sides[f"{side}_{name}"] = kind
    return sides


def _follow(tuning: FineTuning) -> None:
    """Train with a progress bar, note each checkpoint, and print the checkpoints' scores at the end."""
    from clipbench.training.events import StepLog

    rows: list[list[str]] = []
    headers: list[str] = []
    last: StepLog | None = None
    display.advance("training", 0, None)
    for event in tuning.run():
        if not tuning.is_main:
            continue
        if isinstance(event, StepLog):
            last = event
            details = ", ".join(_numbers(event)).replace("logit scale", "scale")  # fits a line of 80 characters
            display.advance_outer("training", event.step, tuning.steps, details)
            continue
        if event.path and last:
            where = f"step {event.step:,} of {tuning.steps:,}, epoch {last.epoch:.2f}"
            note(f"{where}, {', '.join(_numbers(last))}: {event.path}")
        if event.results:
            scores = headline(event.results)
            headers = ["step", *scores]
            rows.append([f"{event.step:,}", *scores.values()])
    if rows:
        print_rows(headers, rows, "table")


def _numbers(event: StepLog) -> list[str]:
    """A step's numbers for the progress bar and the notes."""
    names = {"i2t_acc": "i2t", "t2i_acc": "t2i", "hard_negative_acc": "hard"}
    shares = [f"{name} {event.accuracies[key]:.0%}" for key, name in names.items() if key in event.accuracies]
    scale, speed = f"logit scale {event.logit_scale:.3g}", f"{event.samples_per_second:,.0f} samples/s"
    return [f"loss {event.loss:.3f}", *shares, scale, f"lr {event.learning_rate:.2g}", speed]
