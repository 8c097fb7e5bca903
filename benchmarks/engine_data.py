"""Tasks that benchmarks/engine.py makes of COCO's photographs."""

from __future__ import annotations

import json
import random
from pathlib import Path


def write_choice(coco: str, folder: str) -> Path:
    """Every photograph's first caption against four shuffles of its words; returns the task."""
    draw = random.Random(0)
    lines = []
    for name, caption in _first_captions(Path(coco)).items():
        words = caption.split()
        shuffled = [" ".join(draw.sample(words, len(words))) for _ in range(4)]
        lines.append(json.dumps({"image": name, "caption": caption, "false_captions": shuffled}) + "\n")
    (Path(folder) / "choice.jsonl").write_text("".join(lines))
    task = Path(folder) / "choice.yaml"
    task.write_text(
        "name: order\ntask_type: choice\ndataset: {path: choice.jsonl, images: image, captions: caption,"
        f" false_captions: false_captions, image_folder: {coco}/val2017}}\n"
    )
    return task


def write_classification(coco: str, folder: str) -> Path:
    """Every photograph and 20 classes of 80 prompts; returns the task."""
    from open_clip import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES

    names = IMAGENET_CLASSNAMES[:20]
    templates = [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]
    photographs = _first_captions(Path(coco))
    rows = [f"{coco}/val2017/{name},{number % len(names)}" for number, name in enumerate(photographs)]
    (Path(folder) / "classes.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    declared = {"name": "classes", "task_type": "classification", "class_names": names, "templates": templates,
                "dataset": {"path": "classes.csv", "images": "image", "label": "label"}}  # fmt: skip
    task = Path(folder) / "classes.yaml"
    task.write_text(json.dumps(declared))  # JSON is YAML
    return task


def _first_captions(coco: Path) -> dict[str, str]:
    """Photographs that are there, each with its first caption."""
    data = json.loads((coco / "annotations/captions_val2017.json").read_text())
    names = {image["id"]: image["file_name"] for image in data["images"]}
    found: dict[str, str] = {}
    for line in data["annotations"]:
        found.setdefault(names[line["image_id"]], line["caption"])
    return {name: caption for name, caption in found.items() if (coco / "val2017" / name).exists()}
