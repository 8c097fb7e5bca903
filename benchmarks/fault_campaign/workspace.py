"""A small folder in which every command has something to do: photographs, tables, models, results, runs, a cache."""

from __future__ import annotations

import csv
import json
import os
import random
import traceback
from collections.abc import Callable
from pathlib import Path

from running import run

CAPTIONS = (
    "a white dog on the left",
    "a red car in front of a large house",
    "a small brown cat under a table",
    "a black bird above the green boat",
    "a big yellow bus, behind a tree",
    "two blue chairs; nothing of note",
)
TASK = """\
name: {name}
task_type: {task_type}
{concept}dataset:
  path: {path}
  images: image
  captions: caption
"""
CONCEPT = "name: animals\nmutual:\n  - [dog, cat, bird]\n  - [car, bus, boat]\n"
STUDY = """\
name: small
title: A small study
base_models: [demo]
training:
  data: scenes=40
  concepts: [color]
  negatives: [0, 1]
  seeds: [0]
  limit: 24
  recipe: {epochs: 1, batch_size: 8, learning_rate: 1.0e-3, checkpoint_every: 0.5, freeze: [image, image_projection]}
limit: 10
tables:
  - {id: one, layout: epochs, title: One, tasks: {color: scenes_inpaint_color}}
published_by: Somebody
comparable: true
"""
EVAL = ("eval", "--model", "demo", "--tasks", "toy.yaml", "--device", "cpu")
FINETUNE = (
    "finetune",
    "--model",
    "demo",
    "--train_data",
    "toy.csv",
    "--concept",
    "color",
    "--device",
    "cpu",
    "--batch_size",
    "2",
    "--epochs",
    "2",
    "--checkpoint_every",
    "0.5",
    "--image_cache",
    "pixels",
)


def build(folder: Path) -> None:
    """Fill ``folder``. Models are built in a child, so that this process computes nothing before it forks."""
    folder.mkdir(parents=True)
    in_child(lambda: _pictures(folder))
    write_table(folder / "toy.csv")
    (folder / "toy.yaml").write_text(task())
    (folder / "found.yaml").write_text(task("found", "retrieval", None))
    (folder / "animals.yaml").write_text(CONCEPT)
    (folder / "small.yaml").write_text(STUDY)
    (folder / "flags.yaml").write_text("tasks: [toy.yaml]\nmodel: demo\nlimit: 5\n")
    (folder / "captions.txt").write_text("\n".join(CAPTIONS) + "\n")
    _coco(folder / "coco")
    in_child(lambda: _models(folder))
    logs = folder.parent / "logs" / "build"
    for words in (
        [*EVAL, "-o", "results", "-s", "--use_cache", "cache"],
        ["eval", "--model", "tiny-hf", "--tasks", "toy.yaml", "--device", "cpu", "-o", "results", "-s"],
        ["leaderboard", "results", "-o", "board.json"],
        [*FINETUNE, "-o", "run"],
    ):
        done = run(words, logs, cwd=folder, seconds=300)
        if done.code:
            raise SystemExit(f"the workspace could not be built: {words}: {done.err}")


def task(name: str = "toy", task_type: str = "ranking", concept: str | None = "color", path: str = "toy.csv") -> str:
    """A task file."""
    return TASK.format(name=name, task_type=task_type, concept=f"concept: {concept}\n" if concept else "", path=path)


def write_table(path: Path, **dialect: str) -> None:
    """The captions as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, **dialect)  # type: ignore[arg-type]
        rows.writerow(["image", "caption"])
        rows.writerows((f"img/{number}.png", text) for number, text in enumerate(CAPTIONS))


def in_child(action: Callable[[], object]) -> None:
    """Run ``action`` in a forked child, and wait."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            action()
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("the workspace could not be built")


def _pictures(folder: Path) -> None:
    from PIL import Image

    (folder / "img").mkdir()
    for number in range(len(CAPTIONS)):
        drawn = random.Random(number)
        image = Image.new("RGB", (48, 40))
        image.putdata([tuple(drawn.randrange(256) for _ in range(3)) for _ in range(48 * 40)])
        image.save(folder / "img" / f"{number}.png")


def _models(folder: Path) -> None:
    import torch

    from clipbench.models import load_model
    from tests.seeded import build_clip

    build_clip(folder / "tiny-hf")
    build_clip(folder / "tiny-open_clip", library="open_clip")
    network = load_model(str(folder / "tiny-open_clip")).module
    torch.save({"epoch": 1, "state_dict": network.state_dict()}, folder / "tiny.pt")


def _coco(folder: Path) -> None:
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").symlink_to("../img")
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(len(CAPTIONS))]
    captions = [{"id": number, "image_id": number, "caption": text} for number, text in enumerate(CAPTIONS)]
    (folder / "annotations" / "captions_val2017.json").write_text(
        json.dumps({"images": images, "annotations": captions})
    )


def metrics(folder: Path) -> object:
    """What the newest result files below ``folder`` say; None if there are none."""
    found = sorted(folder.rglob("results_*.json"))
    return [json.loads(path.read_text())["results"] for path in found] or None
