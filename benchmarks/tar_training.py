"""Kill a fine-tuning on tars at random moments; it must end with the weights of one that was left alone.

    python benchmarks/tar_training.py [--kills 20] [--seed 0] [--image_cache none]

Two tars of drawn pictures, of unequal length, and the demo model: a few seconds of training. The same data as a table
is trained on too. All three models must be equal to the bit.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import load_file

COLORS = ("blue", "red", "green", "yellow", "black", "white", "brown", "gray", "orange")
SAMPLES, FIRST = 96, 67  # of which so many in the first tar


def write_data(folder: Path) -> None:
    """Write the pictures as a table and as two tars."""
    dice = np.random.default_rng(0)
    rows = []
    for number in range(SAMPLES):
        pixels = dice.integers(0, 256, (40 + number % 7, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:09d}.png")
        rows.append((f"{number:09d}.png", f"a {COLORS[number % 9]} thing"))
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([("image", "caption"), *rows])
    for number, part in enumerate((rows[:FIRST], rows[FIRST:])):
        with tarfile.open(folder / f"{number:05d}.tar", "w") as tar:
            for name, caption in part:
                tar.add(folder / name, name)
                info = tarfile.TarInfo(name.replace(".png", ".txt"))
                info.size = len(caption)
                tar.addfile(info, io.BytesIO(caption.encode()))


def command(data: object, folder: Path, cache: str) -> list[str]:
    """The fine-tuning."""
    return [sys.executable, "-m", "clipbench", "finetune", "--model", "demo", "--train_data", str(data),
            "--concept", "color", "--batch_size", "8", "--epochs", "2", "--checkpoint_every", "0.25", "--keep", "2",
            "--learning_rate", "1e-3", "--device", "cpu", "--image_cache", cache, "-o", str(folder)]  # fmt: skip


def equal(one: Path, other: Path) -> bool:
    """Whether two models are the same to the bit."""
    left, right = (load_file(folder / "model.safetensors") for folder in (one, other))
    return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)


def main() -> None:
    """Train, kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--image_cache", help="Default: a folder of its own; none decodes in each epoch.")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_data(root)
        cache = options.image_cache or str(root / "cache")
        tars = root / "{00000..00001}.tar"
        began = time.monotonic()
        subprocess.run(command(tars, root / "whole", cache), check=True, capture_output=True)
        seconds = time.monotonic() - began
        subprocess.run(
            command(root / "table.csv", root / "table", str(root / "cache")), check=True, capture_output=True
        )
        killed = 0
        while killed < options.kills:
            process = subprocess.Popen(command(tars, root / "killed", cache), stderr=subprocess.DEVNULL)
            try:
                process.wait(dice.uniform(0.2, 1.0) * seconds)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
                steps = [int(path.name[-6:]) for path in (root / "killed").glob("checkpoint-*")]
                print(f"killed {killed} times, at step {max(steps, default=0)}", file=sys.stderr)
            process.wait()
            if process.returncode == 0:  # finished before the kill: once more, from the beginning
                print(f"finished: {'equal' if equal(root / 'whole', root / 'killed') else 'DIFFERENT'}")
                (root / "killed").rename(root / f"done-{killed}-{time.monotonic()}")
        if (root / "killed").exists():
            subprocess.run(command(tars, root / "killed", cache), check=True, capture_output=True)
            print(f"killed and whole: {'equal' if equal(root / 'whole', root / 'killed') else 'DIFFERENT'}")
        print(f"tars and table: {'equal' if equal(root / 'whole', root / 'table') else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
