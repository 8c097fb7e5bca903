"""What one hard negative does for the demo model, against classical training, on unseen scenes.

    python benchmarks/hard_negatives.py --output_path out [--concepts location,color,size] [--negatives 0,1] [--seeds 0]

From the demo model, text tower and logit scale are trained on captions of the train split that hold a keyword of
one concept: with random negatives only (`--negatives 0`), and with one cell of every row of the similarity matrix
replaced by the picture's own caption with its keyword exchanged (`1`; §3 of the paper, both directions). Steps, batches
and rate are the same. The image tower stays as it is, so pictures are encoded once. Each trained model is kept as a
transformers folder, recognised when the command is run again, and scored by `clipbench.evaluate` on the test split.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPModel, CLIPProcessor

import clipbench
from clipbench.concepts import Variants, load_concept
from clipbench.models.demo import FOLDER
from clipbench.scenes.model import encode_texts, shrink
from clipbench.scenes.pretrain import embed_pictures, text_embeddings
from clipbench.scenes.world import World

BATCH, RATE, WEIGHT_DECAY, WARM_UP = 128, 2e-3, 0.1, 50


def loss_with_negatives(scores: Tensor, negatives: Tensor | None, generator: torch.Generator) -> Tensor:
    """Symmetric InfoNCE over scaled similarities (N, N), one other cell of each row replaced.

    Args:
        scores: ``s · ⟨I_i, T_j⟩``.
        negatives: ``s · ⟨I_i, T_i^hn⟩``, (N,), or None for the classical loss.
        generator: Draws the cells.
    """
    own = torch.arange(len(scores))
    if negatives is not None:
        cells = torch.randint(len(scores) - 1, (len(scores),), generator=generator)
        cells = cells + (cells >= own)  # any column but the own one
        scores = scores.scatter(1, cells[:, None], negatives[:, None])
    return (functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)) / 2


def train(
    model: Any,
    tokenizer: Any,
    pictures: Tensor,
    pairs: list[tuple[int, Variants]],
    negatives: int,
    steps: int,
    seed: int,
) -> None:
    """Train text tower and logit scale in place.

    Args:
        model: A transformers CLIP.
        tokenizer: Its tokenizer.
        pictures: Unit embeddings of the train pictures.
        pairs: Picture number, and its caption with variants.
        negatives: 0 or 1.
        steps: Optimiser steps.
        seed: Of batches, exchanged words and replaced cells.
    """
    weights = [*model.text_model.parameters(), *model.text_projection.parameters(), model.logit_scale]
    optimizer = torch.optim.AdamW(weights, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98))
    numbers, cells = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / WARM_UP, max(0.1, (steps - step) / (0.3 * steps)))
        batch = [pairs[row] for row in numbers.integers(len(pairs), size=BATCH)]
        texts = [variants[0] for _, variants in batch]
        if negatives:
            texts += [variants[numbers.integers(1, len(variants))] for _, variants in batch]
        embedded = text_embeddings(model, encode_texts(tokenizer, texts)[0])
        shown = pictures[[number for number, _ in batch]]
        scale = model.logit_scale.exp()
        hard = scale * (shown * embedded[BATCH:]).sum(-1) if negatives else None
        loss = loss_with_negatives(scale * shown @ embedded[:BATCH].T, hard, cells)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.logit_scale.data.clamp_(max=math.log(100))


def trained_model(folder: Path, concept: str, negatives: int, steps: int, seed: int, scenes: int) -> Path:
    """A trained model's folder; trains it where it is not there yet."""
    place = folder / f"{concept}-hn{negatives}-{steps}-steps-seed-{seed}"
    if (place / "config.json").exists():
        return place
    model, processor = CLIPModel.from_pretrained(FOLDER), CLIPProcessor.from_pretrained(FOLDER)
    world = World("train", scenes)
    pictures = embed_pictures(model, np.stack([shrink(picture.draw()) for picture in world]))
    found = [(n, load_concept(concept).variants(text)) for n, picture in enumerate(world) for text in picture.captions]
    pairs = [(number, variants) for number, variants in found if variants is not None]
    model.train()
    train(model, processor.tokenizer, pictures, pairs, negatives, steps, seed)
    processor.save_pretrained(place)
    model.save_pretrained(place)  # last: its config.json says that all is there
    return place


def row(title: str, model: str, concept: str) -> str:
    """A line of the table: the concept's ranking, its repainted pairs, and retrieval."""
    pairs = f"scenes_inpaint_{concept}"
    tasks = [f"scenes_{concept}", "scenes_retrieval", *([pairs] if concept != "location" else [])]
    results = clipbench.evaluate(model, tasks)
    cells = [(tasks[0], "acc"), (pairs, "acc"), ("scenes_retrieval", "t2i_recall@5")]
    texts = []
    for task, metric in cells:
        found = results.results.get(task, {})
        value, error = found.get(f"{metric},none"), found.get(f"{metric}_stderr,none")
        texts.append("" if value is None else f"{value:.3f} ± {error:.3f}")
    return f"| {concept} | {title} | {' | '.join(texts)} |"


def main() -> None:
    """Train what is not there, score all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_path", type=Path, required=True)
    parser.add_argument("--concepts", default="location,color,size")
    parser.add_argument("--negatives", default="0,1")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--scenes", type=int, default=12_000, help="pictures of the train split")
    options = parser.parse_args()
    print("| concept | model | ranking acc | inpaint acc | T2I R@5 |\n|---|---|---|---|---|", flush=True)
    for concept in options.concepts.split(","):
        print(row("Orig.", "demo", concept), flush=True)
        for negatives in map(int, options.negatives.split(",")):
            for seed in map(int, options.seeds.split(",")):
                place = trained_model(options.output_path, concept, negatives, options.steps, seed, options.scenes)
                title = f"HN{negatives}" if negatives else "Clas."
                print(row(f"{title}, seed {seed}", str(place), concept), flush=True)


if __name__ == "__main__":
    sys.exit(main())
