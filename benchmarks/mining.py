"""`clipbench mine` over a million captions: captions per second, on processes and on a local Ray.

    python benchmarks/mining.py COCO_FOLDER [--captions 1000000] [--concepts object,color] [--rounds 3] [--ray]

The captions of COCO val2017, repeated, are written to four parquet files of LAION's form (URL, TEXT, WIDTH). The whole
command is timed, start and printing included; medians of the rounds are printed. With --ray, a local Ray does the same,
and its files must be equal bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.figures import JSON_FLAG, Figure, write_figures

FILES = 4


def write_shards(coco: Path, folder: Path, count: int) -> None:
    """Write the captions, repeated, to parquet files."""
    content = json.loads((coco / "annotations" / "captions_val2017.json").read_text(encoding="utf-8"))
    captions = [annotation["caption"] for annotation in content["annotations"]]
    each = count // FILES
    for number in range(FILES):
        rows = range(number * each, (number + 1) * each)
        urls, texts = (
            [f"https://example.org/{row}.jpg" for row in rows],
            [captions[row % len(captions)] for row in rows],
        )
        pq.write_table(pa.table({"URL": urls, "TEXT": texts, "WIDTH": [640] * each}), folder / f"{number:05d}.parquet")


def mine(shards: Path, concept: str, output: Path, *flags: str) -> float:
    """Run the command; returns its seconds."""
    command = [sys.executable, "-m", "clipbench", "mine", shards, "--concept", concept, "-o", output, *flags]
    start = time.perf_counter()
    subprocess.run(
        [str(word) for word in command], check=True, capture_output=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    return time.perf_counter() - start


def main() -> None:
    """Read the command line, and print a line for each concept and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("coco", type=Path)
    parser.add_argument("--captions", type=int, default=1_000_000)
    parser.add_argument("--concepts", default="object,color")
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", **JSON_FLAG)
    arguments = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "shards").mkdir()
        write_shards(arguments.coco, folder / "shards", arguments.captions)
        for concept in arguments.concepts.split(","):
            outputs = []
            for way, flags in {"processes": [], **({"ray": ["--ray"]} if arguments.ray else {})}.items():
                outputs += [folder / f"{concept}-{way}-{number}" for number in range(arguments.rounds)]
                taken = [mine(folder / "shards", concept, output, *flags) for output in outputs[-arguments.rounds :]]
                seconds = statistics.median(taken)
                speed = arguments.captions / seconds
                print(f"{concept:10} {way:10} {seconds:6.1f} s   {speed:10,.0f} captions/s", flush=True)
                figures.append(Figure(f"{concept}, {way}", speed, "captions/s", "higher"))
            files = [{path.name: path.read_bytes() for path in output.glob("mined-*")} for output in outputs]
            if any(found != files[0] for found in files):
                sys.exit(f"{concept}: the files differ between rounds or ways")
    write_figures(arguments.json, figures)


if __name__ == "__main__":
    main()
