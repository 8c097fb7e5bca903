"""open_clip's trainer: `open_clip_train.train.train_one_epoch` over its CSV data set, with its own flags.

Model, augmentation, loader, loss and optimiser are made as `open_clip_train.main` makes them; texts are padded to 77
and images decoded by loader processes, as ever there. It knows no hard negatives. Given one, a text of the CSV file is
caption and negative; the tokenizer makes two rows of 77 of it, the model encodes the 2N texts of a batch at once, and
the loss takes the negatives as N further columns of the images' rows (NegCLIP, Yuksekgonul et al. 2023,
arXiv 2210.01936). The training loop is the library's in both cases, untouched.
"""

from __future__ import annotations

import contextlib
import csv
import logging
from pathlib import Path
from typing import Any

import open_clip
import torch
from job import Clock, Job, read_pairs, run
from open_clip_train.data import get_data
from open_clip_train.params import parse_args
from open_clip_train.scheduler import const_lr
from open_clip_train.train import train_one_epoch
from torch import Tensor
from torch.nn import functional

_BETWEEN = " ¶ "  # stands between caption and negative in the CSV file


class _Done(Exception):
    """No error: the way out of the library's loop."""


class _BothTokenized:
    """Tokenises caption and negative into one entry, ``(2, 77)``."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, texts: list[str]) -> list[Tensor]:
        return [self._tokenizer(text.split(_BETWEEN)) for text in texts]


class _BothEncoded(torch.nn.Module):
    """Encodes captions and negatives ``(N, 2, 77)`` as 2N texts, captions first."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module  # the name by which the library unwraps a model

    def forward(self, images: Tensor, texts: Tensor) -> Any:
        return self.module(images, texts.transpose(0, 1).flatten(0, 1))


def _appended_loss(
    image_features: Tensor, text_features: Tensor, logit_scale: Tensor, output_dict: bool = True
) -> dict[str, Tensor]:
    scores = logit_scale * image_features @ text_features.T  # (N, 2N)
    own = torch.arange(len(scores), device=scores.device)
    rows, columns = functional.cross_entropy(scores, own), functional.cross_entropy(scores[:, : len(own)].T, own)
    return {"contrastive_loss": (rows + columns) / 2}


def _arguments(job: Job, table: Path) -> Any:
    flags = f"--dataset-type csv --csv-img-key image --csv-caption-key text --model local-dir:{job.folder}/open_clip"
    flags += f" --batch-size {job.batch_size} --workers {job.workers} --lr {job.learning_rate} --wd {job.weight_decay}"
    flags += f" --warmup 0 --precision {'amp_bf16' if job.precision == 'bf16' else 'fp32'}"
    arguments = parse_args([*flags.split(), "--train-data", str(table)])
    # What main() would add.
    arguments.device, arguments.rank, arguments.local_rank, arguments.world_size = job.device, 0, 0, 1
    arguments.distributed = arguments.distill = arguments.horovod = arguments.wandb = False
    return arguments


def _write_table(job: Job, path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(("image", "text"))
        for pair in read_pairs(job):
            texts = (pair.caption, pair.negative) if job.negatives else (pair.caption,)
            rows.writerow((pair.image, _BETWEEN.join(" ".join(text.split()) for text in texts)))
    return path


def _optimizer(model: torch.nn.Module, arguments: Any) -> torch.optim.Optimizer:
    named = list(model.named_parameters())
    groups = [
        {"params": [weight for _, weight in named if weight.ndim < 2], "weight_decay": 0.0},
        {"params": [weight for _, weight in named if weight.ndim >= 2], "weight_decay": arguments.wd},
    ]
    betas = (arguments.beta1, arguments.beta2)
    return torch.optim.AdamW(groups, lr=arguments.lr, betas=betas, eps=arguments.eps)


def work(job: Job) -> dict[str, float]:
    """Train, and measure."""
    logging.getLogger().setLevel(logging.WARNING)
    arguments = _arguments(job, _write_table(job, Path(job.folder) / f"table-{job.negatives}.csv"))
    model, preprocess, _ = open_clip.create_model_and_transforms(
        arguments.model, precision=arguments.precision, device=job.device, output_dict=True
    )
    tokenizer: Any = open_clip.get_tokenizer(arguments.model)
    loss: Any = open_clip.create_loss(arguments)
    network: Any = model
    if job.negatives:
        tokenizer, loss, network = _BothTokenized(tokenizer), _appended_loss, _BothEncoded(model)
    data = get_data(arguments, (preprocess, preprocess), tokenizer=tokenizer)
    optimizer, clock = _optimizer(model, arguments), Clock(job)
    rate = const_lr(optimizer, arguments.lr, 0, job.steps)

    def schedule(step: int) -> None:  # is called as a step begins: as many are done
        if clock.tick(step):
            raise _Done
        rate(step)

    with contextlib.suppress(_Done):
        train_one_epoch(network, data, loss, 0, optimizer, None, schedule, None, arguments)
    return clock.result()


if __name__ == "__main__":
    run(work)
