"""A table of small pictures and captions to train on."""

from __future__ import annotations

import csv
import json
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


def write_coco(folder: Path, year: str, captions: list[str]) -> Path:
    """Write captions and pictures as COCO's download of a year has them."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / year).mkdir()
    names = [f"{number:012d}.jpg" for number in range(len(captions))]
    for number, name in enumerate(names):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / year / name)
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "annotations": [{"id": n, "image_id": n, "caption": caption} for n, caption in enumerate(captions)],
    }
    (folder / f"annotations/captions_{year}.json").write_text(json.dumps(content))
    return folder
