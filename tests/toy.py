"""A dataset of four photographs as a CSV file, and tasks on it without code."""

from __future__ import annotations

from pathlib import Path

from tests.oracles import numbered_image

CAPTIONS = ["a white dog", "a red car on the left", "a large boat", "nothing of note"]


def write_toy(folder: Path, captions: list[str] = CAPTIONS, **task: object) -> Path:
    """Write pictures, a table, and ``toy.yaml`` that declares a color ranking on them."""
    import csv

    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "toy.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["image", "caption"])
        for number, caption in enumerate(captions):
            numbered_image(number).save(folder / f"{number}.png")
            writer.writerow([f"{number}.png", caption])
    declared = {
        "name": "toy_color",
        "concept": "color",
        "dataset": {"path": "toy.csv", "images": "image", "captions": "caption"},
        **task,
    }
    file = folder / f"{declared['name']}.yaml"
    file.write_text(yaml.safe_dump({key: value for key, value in declared.items() if value is not None}))
    return file
