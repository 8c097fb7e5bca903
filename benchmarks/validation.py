"""How many images `clipbench validate` checks in a minute, without decoding them.

    python benchmarks/validation.py [--images 100000] [--json FILE]

A folder in COCO's layout is made of links to a hundred drawn JPEGs, each with a caption of its own. The command runs as
a whole process; the rate is by its processor time, of all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.append(str(Path(__file__).parents[1]))
from benchmarks.figures import JSON_FLAG, Figure, write_figures

_PICTURES = 100


def write_coco(folder: Path, count: int) -> None:
    """Write ``count`` captioned images as COCO val2017 has them."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    (folder / "pictures").mkdir()
    draw = np.random.default_rng(0)
    for number in range(_PICTURES):
        pixels = draw.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((64, 48)).save(folder / "pictures" / f"{number}.jpg")
    names = [f"{number:012d}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        os.link(folder / "pictures" / f"{number % _PICTURES}.jpg", folder / "val2017" / name)
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    captions = [{"id": n, "image_id": n, "caption": f"a large dog number {n} in a red car"} for n in range(count)]
    content = json.dumps({"images": images, "annotations": captions})
    (folder / "annotations" / "captions_val2017.json").write_text(content)


def main() -> None:
    """Make the folder, validate it, print the rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--json", **JSON_FLAG)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        write_coco(Path(place, "coco"), options.images)
        command = [sys.executable, "-m", "clipbench", "validate", "coco_retrieval", "--data", f"coco={place}/coco"]
        done = subprocess.run([*command, "--no_decode", "--format", "json"], capture_output=True, text=True, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime
    if f"{options.images}" not in done.stdout:
        sys.exit(f"not all images were counted:\n{done.stdout}")
    rate = options.images / seconds * 60
    print(f"{options.images:,} images in {seconds:.1f} s of processor time: {rate:,.0f} a minute and core")
    write_figures(options.json, [Figure("images a minute and core", rate, "images", "higher", 100_000)])


if __name__ == "__main__":
    main()
