"""Trains the demo model from scratch: `python -m clipbench.scenes.pretrain --output_path DIR`.

Two seeded stages, each of which resumes from the last checkpoint in the output folder:

1. *layout*: the image tower learns the positions and attributes of objects (`layout.py`).
2. *contrast*: the image tower is frozen, and the text tower learns from captions by the ordinary symmetric InfoNCE
   loss with only the other captions of the batch as negatives.
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

from clipbench.scenes.layout_pretraining import LayoutHeads, Layouts, layout_loss, layouts_of
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
        seed: Seed of the initial weights and of the batches.
        scenes: Pictures of the train split, drawn once and held in memory as bytes (12 kB each).
        layout_steps, layout_batch, layout_rate: Steps, batch size and peak learning rate of the first stage.
        contrast_steps, contrast_batch, contrast_rate: The same for the second.
        weight_decay: AdamW's weight decay in both.
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
    """The state of a run in one file, which is replaced atomically."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path, self.recipe = path, asdict(recipe)

    def save(self, stage: str, step: int, **modules: Any) -> None:
        """Write the states of modules and optimizers."""
        states = {name: module.state_dict() for name, module in modules.items()}
        part = self.path.with_suffix(".part")
        torch.save({"recipe": self.recipe, "stage": stage, "step": step, "states": states}, part)
        os.replace(part, self.path)

    def load(self, stage: str, **modules: Any) -> int:
        """Restore the states if the file has this recipe and stage; return the number of completed steps, else 0."""
        if not self.path.exists():
            return 0
        saved = torch.load(self.path, weights_only=True)
        if saved["recipe"] != self.recipe or saved["stage"] != stage:
            return 0
        for name, module in modules.items():
            module.load_state_dict(saved["states"][name])
        return int(saved["step"])


def pretrain(output: Path, recipe: Recipe, save_every: int = 200) -> None:
    """Train a model by a recipe and save it in `output` as an ordinary transformers CLIP folder.

    Args:
        output: Created if missing; training resumes from its checkpoints `layout.pt` and `contrast.pt` if they
            have the same recipe.
        recipe: The recipe.
        save_every: Steps between checkpoints.
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
            _log("layout", step + 1, began, loss, read)
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
    """Stage 2: the text tower learns to match captions to the pictures of the batch.

    Args:
        model: The model; its image tower is frozen.
        tokenizer: The model's tokenizer.
        embeddings: Unit embeddings (N, D) of the pictures.
        captions: The captions of each picture, the same number for all; each step draws one of them.
        checkpoint: The checkpoint to resume from and to write.
        recipe: Steps, batch and learning rate.
        save_every: Steps between checkpoints.
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
            _log("contrast", step + 1, began, loss, {"scale": float(model.logit_scale.detach().exp())})
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
    """Normalized pixels (B, 3, S, S) as the image processor makes them, from bytes (B, S, S, 3)."""
    from clipbench.scenes.model import MEAN, SPREAD

    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 - MEAN) / SPREAD


def _drawn(world: World) -> NDArray[np.uint8]:
    pictures = np.empty((len(world), IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    for index, picture in enumerate(world):
        pictures[index] = shrink(picture.draw())
    return pictures


def _batches(seed: int, scenes: int, size: int, done: int, steps: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """(step, rows) for the remaining steps; a step's rows depend only on the seed and its number."""
    for step in range(done, steps):
        yield step, np.random.Generator(np.random.Philox(key=seed, counter=step << 64)).integers(scenes, size=size)


def _rate(peak: float, step: int, steps: int, warm_up: int = 100) -> float:
    """Linear warm-up, then cosine decay to a twentieth."""
    return peak * min(1.0, (step + 1) / warm_up) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _step(optimizer: torch.optim.Optimizer, loss: Tensor, trained: list[nn.Parameter], rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()


def _log(stage: str, step: int, began: float, loss: Tensor, read: dict[str, float]) -> None:
    values = " ".join(f"{name} {value:.3f}" for name, value in read.items())
    seconds = time.monotonic() - began
    sys.stderr.write(f"{stage} {step}: {seconds:.0f} s, loss {float(loss.detach()):.3f}, {values}\n")


def main() -> None:
    """The command line: one option per field of the recipe."""
    parser = argparse.ArgumentParser(description="Train the demo model of clipbench from scratch.")
    parser.add_argument("--output_path", type=Path, required=True, help="folder for the model and its checkpoint")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"default: {value}")
    options = vars(parser.parse_args())
    pretrain(options.pop("output_path"), Recipe(**options))


if __name__ == "__main__":
    main()
