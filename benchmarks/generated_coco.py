"""A folder in COCO's layout, of any size: made-up captions that each hold an object, and drawn or given photographs."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

from clipbench.concepts import load_concept
from clipbench.scenes.drawing import draw
from clipbench.scenes.world import World

CAPTIONS_AN_IMAGE = 5
_SIZE = (640, 480)  # most photographs of COCO
_DRAWN = 200
# None of these words is an object of the concept, or a part of one's name: a caption has one keyword.
_HOW = ("large", "small", "old", "shiny", "dark", "bright", "broken", "wet", "single", "tiny")
_WHERE = ("near the wall of a kitchen", "on the grass in a park", "in the middle of an empty street", "by the window",
          "at the edge of a field", "in front of a white building", "on a wooden floor")  # fmt: skip


def write_coco(folder: Path, images: int, photographs: Path | None = None) -> Path:
    """Write ``annotations/captions_val2017.json`` and ``val2017/``; returns the folder.

    Args:
        folder: Where.
        images: How many, each with five captions, all of them distinct and as long as COCO's.
        photographs: A folder of JPEG files, which are repeated under other names; otherwise drawn scenes are.
    """
    (folder / "annotations").mkdir(parents=True)
    pictures = folder / "val2017"
    pictures.mkdir()
    given = sorted(photographs.glob("*.jpg")) if photographs else _drawn(folder / "drawn", min(images, _DRAWN))
    dice, objects = random.Random(0), sorted(load_concept("object").replacements)
    rows, captions = [], []
    for number in range(images):
        name = f"{number:012d}.jpg"
        _link(given[number % len(given)], pictures / name)
        rows.append({"id": number, "file_name": name, "width": _SIZE[0], "height": _SIZE[1]})
        for _ in range(CAPTIONS_AN_IMAGE):
            text = f"A {dice.choice(_HOW)} {dice.choice(objects)} {dice.choice(_WHERE)}, {len(captions)}."
            captions.append({"id": len(captions), "image_id": number, "caption": text})
    content = {"images": rows, "annotations": captions}
    (folder / "annotations" / "captions_val2017.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _drawn(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    files = []
    for number, picture in enumerate(World("test", count, 0)):
        files.append(folder / f"{number}.jpg")
        draw(picture.scene).resize(_SIZE).save(files[-1], quality=90)
    return files


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
