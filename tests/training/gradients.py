"""Gradients of one batch, by one process or by torchrun's: ``gradients.py MODEL TABLE CACHE PART OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from clipbench.training.gradient_cache import GradientCache
from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import Recipe
from clipbench.training.trainer import FineTuning


def gradients(run: FineTuning) -> dict[str, torch.Tensor]:
    """The loss of a run's first batch and its gradient, by parameter."""
    model = run.setup.model
    model.module.train()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    stepper = GradientCache(
        model, run.setup.recipe, run.setup.accelerator, scaler, image_features=run.setup.image_features
    )
    model.module.zero_grad()
    loss = stepper.backward(run.setup.batches.make(0))
    grads = {name: weight.grad.clone() for name, weight in model.module.named_parameters() if weight.grad is not None}
    return {**grads, "loss": loss}


def main() -> None:
    model, table, cache, part, out = sys.argv[1:]
    options = FinetuneOptions(device="cpu", image_cache=Path(cache), micro_batch_size=int(part) or None)
    recipe = Recipe(("color",), negatives=2, batch_size=16)
    run = FineTuning.prepare(model, table, recipe, options, Path(out))
    found = gradients(run)
    save_file(found, Path(out) / f"gradients-{run.setup.accelerator.process_index}.safetensors")


if __name__ == "__main__":
    main()
