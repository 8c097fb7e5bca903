"""How long boards of many results take: a million logged samples on a page, and ten thousand result files.

    python benchmarks/many_results.py [--rows 1000000] [--models 4] [--files 10000] [--json FILE]

The demo model scores a few samples once. For the page, they are repeated under new ids as `--rows` logged samples of
`--models` models on two tasks; for the board, the result file is copied `--files` times, each as another model's.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import clipbench

sys.path.append(str(Path(__file__).parents[1]))
from benchmarks.figures import JSON_FLAG, Figure, write_figures

TASKS = ("scenes_color", "scenes_size")
Json = dict[str, Any]


def score(folder: Path) -> Json:
    """Score a few samples, and read the result file."""
    clipbench.evaluate("demo", list(TASKS), limit=50, output_path=folder, log_samples=True)
    (file,) = folder.rglob("results_*.json")
    found: Json = json.loads(file.read_text())
    return found


def renamed(found: Json, number: int) -> Json:
    """The same results, of another model."""
    name = f"model-{number}"
    config = {**found["config"], "model": name}
    names = {"model_name": name, "model_name_sanitized": name}
    return {**found, **names, "config": config, "model_fingerprint": f"{number:064x}"}


def repeat_samples(scored: Path, found: Json, folder: Path, models: int, rows: int) -> None:
    """Write result folders whose logs have ``rows`` samples in all, right or wrong at random."""
    each = rows // (models * len(TASKS))
    for number in range(models):
        draw, directory = random.Random(number), folder / f"model-{number}"
        directory.mkdir()
        results = json.loads(json.dumps(renamed(found, number)))
        for task in TASKS:  # as of a whole run: a board does not compare limited ones
            results["n-samples"][task] = {"original": each, "effective": each}
            results["tasks"][task].update(expected_n=each, complete=True, problems=[])
        results["config"]["limit"] = None
        (file,) = scored.rglob("results_*.json")
        (directory / file.name).write_text(json.dumps(results))
        for task in TASKS:
            (log,) = scored.rglob(f"samples_{task}_*.jsonl")
            samples = [json.loads(line) for line in log.read_text().splitlines()]
            with (directory / log.name).open("w") as out:
                for place in range(each):
                    sample = samples[place % len(samples)]
                    right = draw.random() < 0.4 + 0.1 * number
                    own, *others = sorted(sample["scores"], reverse=True)
                    scores = [own, *others] if right else [others[-1], *others[:-1], own]
                    image = f"{sample['cluster']}-{place // len(samples)}"
                    names = {"doc_id": f"{image}#{place}", "cluster": image}
                    values = {"scores": scores, "acc": float(right), "correct": right, "tied": False}
                    out.write(json.dumps({**sample, **names, **values}) + "\n")


def timed(work: Callable[[], object]) -> float:
    """Seconds of some work."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Write the copies, build page and board, print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--json", **JSON_FLAG)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        scored, logs, copies = (Path(place, name) for name in ("scored", "logs", "copies"))
        logs.mkdir()
        copies.mkdir()
        found = score(scored)
        repeat_samples(scored, found, logs, options.models, options.rows)
        page = logs / "board.html"
        command = [sys.executable, "-m", "clipbench", "leaderboard", str(logs), "-o", str(page)]
        seconds = timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
        megabytes = page.stat().st_size / 1e6
        for number in range(options.files):
            (copies / f"results_{number}.json").write_text(json.dumps(renamed(found, number)))
        board = timed(lambda: clipbench.build_leaderboard([copies]))
    print(f"page of {options.rows:,} logged samples: {seconds:.1f} s, {megabytes:.1f} MB")
    print(f"board of {options.files:,} result files: {board:.1f} s")
    write_figures(
        options.json,
        [
            Figure(f"page of {options.rows:,} logged samples", seconds, "s", target=30),
            Figure("size of the page", megabytes, "MB", target=3),
            Figure(f"board of {options.files:,} result files", board, "s"),
        ],
    )


if __name__ == "__main__":
    main()
