"""Flags of `clipbench finetune`: the fields of a recipe, and how a run is carried out."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from clipbench.cli.completion import (
    complete_concepts,
    complete_data,
    complete_tasks,
)
from clipbench.cli.option_flags import Section, comma_separated, flag, numbers, places, shares
from clipbench.cli.values import Limit, check_device
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
