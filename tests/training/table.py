"""A table of small pictures and captions to train on."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

COLORS = ("blue", "red", "green", "yellow", "black", "white", "brown", "gray", "orange")
THINGS = ("cat", "dog", "car", "boat", "bird")


def write_table(folder: Path, rows: int = 24, captions: list[str] | None = None) -> Path:
    """Write ``rows`` pictures of noise and a caption with a color for each (or the captions given)."""
    folder.mkdir(parents=True, exist_ok=True)
    words = captions or [
        f"a {COLORS[n % 9]} {THINGS[n % 5]}" + " on the left of a house" * (n % 3) for n in range(rows)
    ]
    noise = np.random.default_rng(0)
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["image", "caption"])
        for number, caption in enumerate(words):
            pixels = noise.integers(0, 256, size=(40 + number % 7, 36, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            writer.writerow([f"{number}.png", caption])
    return folder / "pairs.csv"
