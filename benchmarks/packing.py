"""What padding costs a text tower, and what sharing common beginnings saves it.

    python benchmarks/packing.py --captions captions_val2017.json [--concept object|none] [--limit N] [--model MODEL]

Encodes captions and their variants (`--concept none`: the captions alone) three times: padded to the full context,
trimmed to the longest of a batch of like lengths, and packed. Prints the CPU time of tokenising and encoding, how many
tokens went through the tower for each token of the texts, and the largest difference between unit features, padded
ones being the reference. Without --model it is a ViT-B/32 of seeded weights.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.figures import JSON_FLAG, Figure, write_figures
from clipbench.concepts import load_concept
from clipbench.models import load_model
from clipbench.models.checks import largest_difference
from clipbench.models.packing import texts_of
from tests.seeded import seeded_clip

Encoded = tuple[torch.Tensor, int]  # features in the order of the texts, tokens computed


def plain(model: Any, texts: Sequence[str], batch: int, *, trim: bool) -> Encoded:
    """Encode texts of like length together."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    features, computed = [], 0
    for start in range(0, len(order), batch):
        tokens = model._tokenize([texts[index] for index in order[start : start + batch]], trim=trim)
        computed += tokens.inputs["input_ids"].numel()
        features.append(model.text_features(tokens))
    return torch.cat(features)[torch.tensor(order).argsort()], computed


def packed(model: Any, texts: Sequence[str], batch: int) -> Encoded:
    """Encode rows that share common beginnings."""
    rows = model.packed_text.pack(model.tokenize(texts))
    features, computed = [], 0
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        computed += len(part) * max(len(row.ids) for row in part)
        features.append(model.packed_text.features(part))
    return torch.cat(features)[torch.tensor(texts_of(rows)).argsort()], computed


def read_texts(captions: Path, concept: str, limit: int, seed: int) -> list[str]:
    """Distinct texts: some captions of a COCO annotation file, with their variants."""
    found = [entry["caption"] for entry in json.loads(captions.read_text())["annotations"]]
    random.Random(seed).shuffle(found)
    if concept == "none":
        return list(dict.fromkeys(found[:limit]))
    groups = [group for group in map(load_concept(concept).variants, found) if group is not None]
    return list(dict.fromkeys(text for group in groups[:limit] for text in group))


@torch.inference_mode()
def main() -> None:
    """Encode, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, required=True, help="COCO's captions_val2017.json")
    parser.add_argument("--concept", default="object")
    parser.add_argument("--limit", type=int, default=10, help="captions, before variants are made")
    parser.add_argument("--model", help="a model as clipbench writes it")
    parser.add_argument("--batch", type=int, default=64, help="texts a batch")
    parser.add_argument("--rows", type=int, default=16, help="packed rows a batch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", **JSON_FLAG)
    options = parser.parse_args()
    model: Any = load_model(options.model) if options.model else seeded_clip("vit-b-32")
    texts = read_texts(options.captions, options.concept, options.limit, options.seed)
    paths: dict[str, Callable[[], Encoded]] = {
        "padded": lambda: plain(model, texts, options.batch, trim=False),
        "trimmed": lambda: plain(model, texts, options.batch, trim=True),
        "packed": lambda: packed(model, texts, options.rows),
    }
    asked = sum(model._tokenize([text], trim=True).inputs["input_ids"].numel() for text in texts)
    print(f"{len(texts)} texts, {asked} tokens, {torch.get_num_threads()} threads\n")
    print("| path | CPU seconds | tokens computed per token asked | largest difference |\n|---|---|---|---|")
    reference, figures = None, []
    for name, encode in paths.items():
        start = time.process_time()
        features, computed = encode()
        seconds = time.process_time() - start
        reference = features if reference is None else reference
        difference = largest_difference(features, reference)
        print(f"| {name} | {seconds:.1f} | {computed / asked:.2f} | {difference:.1e} |", flush=True)
        figures.append(Figure(f"{name}, processor time", seconds, "s"))
        figures.append(Figure(f"{name}, tokens computed ÷ tokens of the texts", computed / asked, "×"))
    write_figures(options.json, figures)


if __name__ == "__main__":
    main()
