"""Gradients of one batch, by one process or by torchrun's: ``gradients.py MODEL TABLE CACHE PART LOSS FSDP OUT``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from clipbench.training.batches import Batches
from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import Recipe
from clipbench.training.sharding import gathered
from clipbench.training.trainer import FineTuning


def gradients(run: FineTuning) -> dict[str, torch.Tensor]:
    """The loss of a run's first batch and its gradient, by parameter."""
    module = run.trained.module
    module.train()
    module.zero_grad()
    loss = run.gradient_cache().backward(run.setup.batches.make(0))
    grads = {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}
    return {**{name: gathered(grad).clone() for name, grad in grads.items()}, "loss": loss}


def share_images(run: FineTuning) -> FineTuning:
    """Give each two captions one image, and each pair two negative images, of which every fourth pair lacks one."""
    pairs, before = run.setup.pairs, run.setup.batches
    image_of = pairs.image_of // 2
    others = (image_of[:, None] + np.array([1, 5])) % len(pairs.images)
    others[::4, 0] = -1
    pairs = replace(pairs, image_of=image_of, negative_images=others)
    batches = Batches(run.setup.model, pairs, before._images, run.setup.recipe, before._share)
    run.setup = replace(run.setup, pairs=pairs, batches=batches)
    return run


def main() -> None:
    model, table, cache, part, loss, fsdp, out = sys.argv[1:]
    part, fsdp = int(part) or None, fsdp == "fsdp"
    options = FinetuneOptions(device="cpu", image_cache=Path(cache), micro_batch_size=part, fsdp=fsdp)
    recipe = Recipe(("color",), negatives=2, batch_size=16, loss=loss)
    run = share_images(FineTuning.prepare(model, table, recipe, options, Path(out)))
    found = gradients(run)
    save_file(found, Path(out) / f"gradients-{run.setup.accelerator.process_index}.safetensors")


if __name__ == "__main__":
    main()
