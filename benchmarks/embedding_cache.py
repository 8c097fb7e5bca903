"""Times `coco_retrieval` without, with an empty and with a filled cache of embeddings, and compares the results.

    python benchmarks/embedding_cache.py COCO_FOLDER [--model DIR] [--photographs 214]

COCO_FOLDER holds `annotations/captions_val2017.json` and `val2017/`; photographs that are not there are passed over.
Without `--model` a CLIP of ViT-B/32's shape with seeded random weights is made: weights make no difference to time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.figures import JSON_FLAG, Figure, write_figures
from clipbench.evaluation.api import evaluate
from clipbench.inference.embedding_cache import open_cache
from clipbench.models import Model, load_model
from tests.seeded import build_clip


def timed(name: str, model: Model, options: dict[str, Any]) -> tuple[float, Any]:
    """Score, print and return the seconds and the task's numbers."""
    started = time.perf_counter()
    results = evaluate(model, "coco_retrieval", **options)
    seconds = time.perf_counter() - started
    report = results.tasks["coco_retrieval"]
    print(f"{name:<18} {seconds:8.3f} s   {report.counts.effective} photographs   {report.error}")
    return seconds, report.metrics


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("coco")
    parser.add_argument("--model")
    parser.add_argument("--photographs", type=int, default=214)
    parser.add_argument("--json", **JSON_FLAG)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = arguments.model or str(build_clip(Path(folder) / "clip", "vit-b-32"))
        model = load_model(place)
        options: dict[str, Any] = {
            "data": {"coco": arguments.coco},
            "limit": arguments.photographs,
            "allow_missing": True,
        }
        cached = {**options, "use_cache": Path(folder) / "cache"}
        started = time.perf_counter()
        digest = model.fingerprint
        print(f"fingerprint        {time.perf_counter() - started:8.3f} s   {digest[:12]}, once a run, cache or not")
        started = time.perf_counter()
        open_cache(model, Path(folder) / "empty")
        print(f"key of the space   {time.perf_counter() - started:8.3f} s   within each of the cached runs below")
        ways = {"without": options, "empty cache": cached, "filled cache": cached}
        runs = [timed(name, model, chosen) for name, chosen in ways.items()]
        (first, expected), (cold, _), (warm, _) = runs
        assert all(found == expected for _, found in runs), "results differ"
        print(f"filled: {first / warm:.0f} times as fast as without; filling costs {100 * (cold / first - 1):+.1f} %")
        figures = [
            Figure("without ÷ filled cache", first / warm, "×", "higher"),
            Figure("empty cache ÷ without", cold / first, "×"),
        ]
        write_figures(arguments.json, figures)


if __name__ == "__main__":
    main()
