"""`clipbench finetune`: train a model on hard negatives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from clipbench.cli.command import Command
from clipbench.cli.completion import (
    complete_concepts,
    complete_data,
    complete_models,
    complete_tasks,
    complete_training_data,
)
from clipbench.cli.console import note, print_rows
from clipbench.cli.display import display
from clipbench.cli.option_flags import Section, comma_separated, flag, numbers, places, shares
from clipbench.cli.options import (
    Limit,
    check_device,
    config_option,
    model_args_option,
    parse_model_args,
    text_cleaning_option,
)
from clipbench.cli.result_tables import headline
from clipbench.cli.training_report import hint_at_interpolation, print_changes
from clipbench.errors import ConfigError
from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import (
    CaptionsPerImage,
    NegativesIn,
    Precision,
    Recipe,
    ReplacementSampling,
    SameImage,
    Schedule,
)

if TYPE_CHECKING:
    from clipbench.training.events import StepLog
    from clipbench.training.trainer import FineTuning


def _kept(ctx: click.Context, param: click.Parameter, value: object) -> int | str | None:
    """Callback: a number of checkpoints, or ``all``."""
    if value is None or value == "all":
        return None if value is None else "all"
    try:
        return int(str(value))
    except ValueError:
        raise ConfigError(f"--keep {value}: give a number of checkpoints, or all") from None


RECIPE = Section(
    Recipe,
    concepts=flag(
        "--concept",
        metavar="NAMES",
        shell_complete=complete_concepts,
        callback=comma_separated,
        help="Concepts or YAML files, separated by commas; captions that contain a keyword are trained on. none: all.",
    ),
    negatives=flag("--negatives", type=click.IntRange(min=0), help="Hard negatives per caption; 0 is the control."),
    negatives_from=flag(
        "--negatives_from",
        metavar="COLUMNS",
        callback=comma_separated,
        help="Columns of --train_data with hard negative captions, separated by commas, in place of exchanged keywords;"
        " or pairs: a row holds several images, each with its caption.",
    ),
    negative_images_from=flag(
        "--negative_images_from",
        metavar="COLUMNS",
        callback=comma_separated,
        help="Columns of --train_data with hard negative images: images, or numbers of rows.",
    ),
    replacement_sampling=flag(
        "--replacement_sampling",
        type=click.Choice(get_args(ReplacementSampling)),
        help="How keywords are exchanged: uniform, as in the paper; or matched: each is as often wrong as right.",
    ),
    mend_articles=flag(
        "--mend_articles",
        is_flag=True,
        help='Make articles fit exchanged keywords: "an orange cat" for "a orange cat", which the paper leaves.',
    ),
    loss=flag(
        "--loss",
        help="inbatch_replacement (Rösch et al. 2024), negclip (Yuksekgonul et al. 2023), svlc (Doveh et al. 2023),"
        " fsc (Oh et al. 2024), hn_nce (Radenovic et al. 2023), debiased (Robinson et al. 2021) or sigmoid (Zhai et al."
        " 2023).",
    ),
    loss_args=flag(
        "--loss_args",
        multiple=True,
        metavar="NAME=NUMBER,…",
        callback=numbers,
        help="The loss's own hyperparameters: weight of svlc; weight, gamma, smoothing of fsc; alpha, beta of hn_nce;"
        " beta, tau_plus of debiased.",
    ),
    negatives_in=flag(
        "--negatives_in",
        type=click.Choice(get_args(NegativesIn)),
        help="Whether both halves of inbatch_replacement see the hard negatives, or only image-to-text.",
    ),
    same_image=flag(
        "--same_image",
        type=click.Choice(get_args(SameImage)),
        help="Whether other captions of an image in the batch are its negatives (keep), or not (mask).",
    ),
    captions_per_image=flag(
        "--captions_per_image",
        type=click.Choice(get_args(CaptionsPerImage)),
        help="Whether an epoch has all captions of an image, or one, drawn for each epoch.",
    ),
    mix=flag(
        "--mix",
        multiple=True,
        metavar="NAME=SHARE",
        callback=shares,
        help="Take this share of each batch from elsewhere, without hard negatives: general (captions of --train_data"
        " without a keyword) or another data set, named as in --train_data. Repeatable.",
    ),
    batch_size=flag("--batch_size", "-b", type=click.IntRange(min=2), help="Pairs per step, over all processes."),
    epochs=flag("--epochs", type=click.IntRange(min=1), help="Passes over the captions."),
    max_steps=flag("--max_steps", type=click.IntRange(min=1), help="Stop after N steps, whatever --epochs says."),
    learning_rate=flag("--learning_rate", "--lr", type=float, help="Peak learning rate of AdamW."),
    lr_schedule=flag("--lr_schedule", type=click.Choice(get_args(Schedule)), help="Learning rate schedule."),
    warmup_steps=flag("--warmup_steps", type=click.IntRange(min=0), help="Steps of linear warm-up."),
    cooldown_steps=flag("--cooldown_steps", type=click.IntRange(min=0), help="Final steps of linear decay to zero."),
    weight_decay=flag("--weight_decay", type=float, help="AdamW's; matrices only."),
    max_grad_norm=flag("--max_grad_norm", type=float, help="Clip the gradient norm to this value."),
    precision=flag(
        "--precision",
        type=click.Choice(get_args(Precision)),
        help="Of the encoders; weights, loss and optimizer are fp32. auto: half precision on a GPU, fp32 on a CPU.",
    ),
    freeze=flag(
        "--freeze",
        metavar="NAMES",
        callback=comma_separated,
        help="Parts that keep their weights: image, text (the encoders), image_projection, text_projection.",
    ),
    unfreeze_image_layers=flag(
        "--unfreeze_image_layers",
        type=click.IntRange(min=0),
        help="With --freeze image: train its last N layers and what follows them.",
    ),
    unfreeze_text_layers=flag(
        "--unfreeze_text_layers", type=click.IntRange(min=0), help="With --freeze text: likewise."
    ),
    layer_decay=flag(
        "--layer_decay", type=float, help="Factor on the learning rate from each layer to the one before it."
    ),
    projection_learning_rate=flag(
        "--projection_learning_rate",
        "--projection_lr",
        type=float,
        help="Of the projections. Default: --learning_rate.",
    ),
    center_images=flag(
        "--center_images",
        is_flag=True,
        help="Paired encoders, --freeze image: subtract the training images' mean before the projection.",
    ),
    lora_rank=flag(
        "--lora_rank",
        type=click.IntRange(min=0),
        help="Train low-rank adapters of this rank instead (clipbench[lora]); they are merged when saved.",
    ),
    lora_alpha=flag("--lora_alpha", type=float, help="Scale of the adapters. Default: twice the rank."),
    ema=flag(
        "--ema",
        type=float,
        metavar="DECAY",
        help="Score and save an exponential moving average of the weights, such as 0.999. Default: the weights.",
    ),
    select=flag(
        "--select",
        metavar="TASK@TASK>=CHANGE",
        help="The final model is the checkpoint with the best score on the first task among those whose score on the"
        " second changed by at least that much from the base model, such as"
        " 'scenes_location@scenes_retrieval>=-0.02'. Default: the last checkpoint.",
    ),
    checkpoint_every=flag("--checkpoint_every", type=float, help="Epochs between checkpoints."),
    seed=flag("--seed", type=int, help="Random seed."),
)
RUN = Section(
    FinetuneOptions,
    data=flag(
        "--data",
        multiple=True,
        metavar="NAME=PLACE",
        callback=places,
        shell_complete=complete_data,
        help="Location of a named data set, for --train_data and --eval_tasks: a local path, or"
        " hub:OWNER/NAME[@REVISION][:SPLIT]. Repeatable.",
    ),
    device=flag("--device", callback=check_device, help="cpu, cuda, cuda:1. Default: a GPU if available."),
    micro_batch_size=flag(
        "--micro_batch_size",
        type=click.IntRange(min=1),
        help="Pairs encoded at once, to save memory; the loss still sees the whole batch.",
    ),
    workers=flag("--num_workers", type=click.IntRange(min=1), help="Threads that decode images."),
    image_cache=flag(
        "--image_cache",
        type=click.Path(path_type=Path),
        help="Folder of decoded images. Default: $CLIPBENCH_CACHE or ~/.cache/clipbench. none: decode in each epoch.",
    ),
    grad_checkpointing=flag(
        "--grad_checkpointing",
        is_flag=True,
        help="Compute activations again in the backward pass instead of keeping them: less memory, more time.",
    ),
    torch_compile=flag("--torch_compile", is_flag=True, help="Compile both encoders with torch.compile."),
    fsdp=flag(
        "--fsdp", is_flag=True, help="Divide weights, gradients and optimizer moments among the processes (FSDP2)."
    ),
    allow_missing=flag("--allow_missing", is_flag=True, help="Leave out captions with a missing or broken image."),
    limit=flag("--limit", "-L", type=click.IntRange(min=1), help="Train on the first N captions only."),
    keep=flag(
        "--keep",
        metavar="N|all",
        callback=_kept,
        help="Keep only the newest N checkpoints. Default: 2 if all are scored on whole --eval_tasks, else all. Scores"
        " are always kept.",
    ),
    eval_tasks=flag(
        "--eval_tasks",
        metavar="NAMES",
        shell_complete=complete_tasks,
        help="Score every checkpoint on these tasks.",
    ),
    eval_limit=flag("--eval_limit", type=Limit(), help="Score at most N samples per task, or a share of them."),
    report_to=flag(
        "--report_to",
        metavar="NAMES",
        callback=comma_separated,
        help="tensorboard, wandb, …, separated by commas.",
    ),
)


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
