"""Trains the demo model from scratch: `python -m clipbench.scenes.pretrain --output_path DIR`.

Two stages, both seeded, both resumed from the last checkpoint in the output folder when run again:

1. *layout*: the image tower learns to tell what is where, as the world itself knows it (`layout.py`).
2. *contrast*: the image tower is frozen, and the text tower learns from captions by the ordinary symmetric InfoNCE
   loss with the other captions of the batch as its only negatives.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from clipbench.scenes.layout import LayoutHeads, Layouts, layout_loss, layouts_of
from clipbench.scenes.model import (
    IMAGE_SIZE,
    PATCH_SIZE,
    build_model,
    build_processor,
    build_words,
    encode_texts,
    shrink,
)
from clipbench.scenes.tokenizer import build_tokenizer
from clipbench.scenes.world import World

if TYPE_CHECKING:
    from transformers import CLIPModel

_LARGEST_SCALE: Final = math.log(100)  # CLIP's own bound on the logit scale


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that the trained weights depend on.

    Attributes:
        seed: Of the weights' beginning and of the batches.
        scenes: Pictures of the train split, drawn once and kept as bytes (12 kB each).
        layout_steps, layout_batch, layout_rate: Steps, pictures a step and peak learning rate of the first stage.
        contrast_steps, contrast_batch, contrast_rate: The same of the second.
        weight_decay: AdamW's, in both.
    """

    seed: int = 0
    scenes: int = 40_000
    layout_steps: int = 3_000
    layout_batch: int = 64
    layout_rate: float = 1e-3
    contrast_steps: int = 1_500
    contrast_batch: int = 128
    contrast_rate: float = 1e-3
    weight_decay: float = 0.05


class Checkpoint:
    """The state of a run in one file, replaced in one piece, so that a crash never leaves half of it."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path, self.recipe = path, asdict(recipe)

    def save(self, stage: str, step: int, **modules: Any) -> None:
        """Writes the modules' and optimisers' states."""
        states = {name: module.state_dict() for name, module in modules.items()}
        beside = self.path.with_suffix(".part")
        torch.save({"recipe": self.recipe, "stage": stage, "step": step, "states": states}, beside)
        os.replace(beside, self.path)

    def load(self, stage: str, **modules: Any) -> int:
        """Restores the states where the file is of this recipe and stage; returns the steps done, else 0."""
        if not self.path.exists():
            return 0
        saved = torch.load(self.path, weights_only=True)
        if saved["recipe"] != self.recipe or saved["stage"] != stage:
            return 0
        for name, module in modules.items():
            module.load_state_dict(saved["states"][name])
        return int(saved["step"])


def pretrain(output: Path, recipe: Recipe, save_every: int = 200) -> None:
    """Trains a model by a recipe and saves it in `output` as an ordinary transformers CLIP folder.

    Args:
        output: Made if it is not there; its checkpoints `layout.pt` and `contrast.pt`, if of this recipe, are
            gone on from.
        recipe: What to do.
        save_every: Steps between two checkpoints.
    """
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    tokenizer = build_tokenizer(build_words())
    model = build_model(len(tokenizer))
    world = World("train", recipe.scenes)
    pictures = _drawn(world)
    train_layout(model, world, pictures, Checkpoint(output / "layout.pt", recipe), recipe, save_every)
    embeddings = embed_pictures(model, pictures)
    captions = [picture.captions for picture in world]
    checkpoint = Checkpoint(output / "contrast.pt", recipe)
    train_contrast(model, tokenizer, embeddings, captions, checkpoint, recipe, save_every)
    model.save_pretrained(output)
    build_processor(tokenizer).save_pretrained(output)


def train_layout(
    model: CLIPModel, world: World, pictures: NDArray[np.uint8], checkpoint: Checkpoint, recipe: Recipe, save_every: int
) -> None:
    """Stage 1: the image tower and its projection learn layouts."""
    heads = LayoutHeads(model.visual_projection.out_features)
    trained = [*model.vision_model.parameters(), *model.visual_projection.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(trained, weight_decay=recipe.weight_decay, betas=(0.9, 0.98))
    done = checkpoint.load("layout", model=model, heads=heads, optimizer=optimizer)
    layouts = layouts_of([picture.scene for picture in world], IMAGE_SIZE // PATCH_SIZE)
    model.train()
    began = time.monotonic()
    for step, rows in _batches(recipe.seed, recipe.scenes, recipe.layout_batch, done, recipe.layout_steps):
        target = Layouts(layouts.color[rows], layouts.measures[rows], layouts.patch[rows])
        loss, read = layout_loss(model, heads, as_pixels(pictures[rows]), target)
        _step(optimizer, loss, trained, _rate(recipe.layout_rate, step, recipe.layout_steps))
        if (step + 1) % save_every == 0 or step + 1 == recipe.layout_steps:
            _tell("layout", step + 1, began, loss, read)
            checkpoint.save("layout", step + 1, model=model, heads=heads, optimizer=optimizer)


def train_contrast(
    model: CLIPModel,
    tokenizer: Any,
    embeddings: Tensor,
    captions: list[tuple[str, ...]],
    checkpoint: Checkpoint,
    recipe: Recipe,
    save_every: int,
) -> None:
    """Stage 2: the text tower learns to find the picture among those of the batch.

    Args:
        model: Its image tower is not touched.
        tokenizer: Its own.
        embeddings: Unit embeddings (N, D) of the pictures.
        captions: Those of each picture, equally many; a step takes one of them at random.
        checkpoint: Where the run was left and is saved.
        recipe: Steps, batch and learning rate.
        save_every: Steps between two checkpoints.
    """
    ids, lengths = encode_texts(tokenizer, [text for texts in captions for text in texts])
    ids, lengths = ids.view(len(captions), -1, ids.shape[1]), lengths.view(len(captions), -1)
    trained = [*model.text_model.parameters(), *model.text_projection.parameters(), model.logit_scale]
    optimizer = torch.optim.AdamW(trained, weight_decay=recipe.weight_decay, betas=(0.9, 0.98))
    done = checkpoint.load("contrast", model=model, optimizer=optimizer)
    choose = np.random.Generator(np.random.Philox(recipe.seed + 1))
    for _ in range(done):
        choose.integers(ids.shape[1], size=recipe.contrast_batch)
    model.train()
    began = time.monotonic()
    for step, rows in _batches(recipe.seed + 1, recipe.scenes, recipe.contrast_batch, done, recipe.contrast_steps):
        which = choose.integers(ids.shape[1], size=len(rows))
        texts = ids[rows, which, : int(lengths[rows, which].max())]
        loss = contrastive_loss(model, embeddings[rows], text_embeddings(model, texts))
        _step(optimizer, loss, trained, _rate(recipe.contrast_rate, step, recipe.contrast_steps))
        model.logit_scale.data.clamp_(max=_LARGEST_SCALE)
        if (step + 1) % save_every == 0 or step + 1 == recipe.contrast_steps:
            _tell("contrast", step + 1, began, loss, {"scale": float(model.logit_scale.detach().exp())})
            checkpoint.save("contrast", step + 1, model=model, optimizer=optimizer)


def contrastive_loss(model: CLIPModel, images: Tensor, texts: Tensor) -> Tensor:
    """The symmetric InfoNCE loss of B matching unit embeddings (B, D)."""
    similarities = model.logit_scale.exp() * images @ texts.T  # (B, B)
    own = torch.arange(len(similarities))
    return (functional.cross_entropy(similarities, own) + functional.cross_entropy(similarities.T, own)) / 2


def text_embeddings(model: CLIPModel, ids: Tensor) -> Tensor:
    """Unit embeddings (B, D) of token ids (B, L). The tower is causal, so padding after the end changes nothing."""
    return functional.normalize(model.text_projection(model.text_model(input_ids=ids).pooler_output), dim=-1)


@torch.no_grad()
def embed_pictures(model: CLIPModel, pictures: NDArray[np.uint8], batch: int = 256) -> Tensor:
    """Unit embeddings (N, D) of pictures (N, S, S, 3) in bytes."""
    model.train(mode=False)
    parts = []
    for start in range(0, len(pictures), batch):
        pooled = model.vision_model(as_pixels(pictures[start : start + batch])).pooler_output
        parts.append(functional.normalize(model.visual_projection(pooled), dim=-1))
    return torch.cat(parts)


def as_pixels(pictures: NDArray[np.uint8]) -> Tensor:
    """Normalised pixels (B, 3, S, S) as the image processor makes them, from bytes (B, S, S, 3)."""
    from clipbench.scenes.model import MEAN, SPREAD

    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 - MEAN) / SPREAD


def _drawn(world: World) -> NDArray[np.uint8]:
    pictures = np.empty((len(world), IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    for index, picture in enumerate(world):
        pictures[index] = shrink(picture.draw())
    return pictures


def _batches(seed: int, scenes: int, size: int, done: int, steps: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """(step, rows) for the steps that are left; a step's rows depend on the seed and its number only."""
    for step in range(done, steps):
        yield step, np.random.Generator(np.random.Philox(key=seed, counter=step << 64)).integers(scenes, size=size)


def _rate(peak: float, step: int, steps: int, warm_up: int = 100) -> float:
    """Linear warm-up, then half a cosine down to a twentieth."""
    return peak * min(1.0, (step + 1) / warm_up) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _step(optimizer: torch.optim.Optimizer, loss: Tensor, trained: list[nn.Parameter], rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()


def _tell(stage: str, step: int, began: float, loss: Tensor, read: dict[str, float]) -> None:
    values = " ".join(f"{name} {value:.3f}" for name, value in read.items())
    seconds = time.monotonic() - began
    sys.stderr.write(f"{stage} {step}: {seconds:.0f} s, loss {float(loss.detach()):.3f}, {values}\n")


def main() -> None:
    """The command line: an option for each part of the recipe."""
    parser = argparse.ArgumentParser(description="Train the demo model of clipbench from scratch.")
    parser.add_argument("--output_path", type=Path, required=True, help="folder for the model and its checkpoint")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"default: {value}")
    options = vars(parser.parse_args())
    pretrain(options.pop("output_path"), Recipe(**options))


if __name__ == "__main__":
    main()
