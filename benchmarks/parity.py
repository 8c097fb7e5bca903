"""Real photographs through `clipbench eval`, both libraries' formats, against the slow reference of the tests.

    python benchmarks/parity.py --data COCO_FOLDER --size vit-b-32 --output_path out

Builds a CLIP of seeded weights in transformers' and in open_clip's format, runs the command on both with
`--log_samples`, and compares every score and decision: between the formats, and with tests/reference/, which
encodes one image at a time and pads every text. Prints one line a task; exits with 1 where a decision differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from clipbench.concepts import load_concept
from tests.reference.clip_scores import ReferenceClip, rank_captions, retrieval
from tests.seeded import build_clip

TASKS = ("coco_color", "coco_location", "coco_retrieval")
Samples = dict[str, dict[str, Any]]


def run(model: Path, coco: Path, out: Path) -> tuple[dict[str, Samples], dict[str, Any], float]:
    """Run the command. Returns samples by task and id, the results, and seconds of wall time."""
    command = [sys.executable, "-m", "clipbench", "eval", "--model", str(model), "--tasks", ",".join(TASKS)]
    if (model / "open_clip_config.json").is_file():
        command += ["--model_args", "center_crop=transformers"]  # the reference has transformers' pixels
    command += ["--data", f"coco={coco}", "--allow_missing", "--output_path", str(out), "--log_samples"]
    started = time.perf_counter()
    subprocess.run([*command, "--format", "json"], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    folder = out / str(model).replace("/", "__")
    samples = {}
    for task in TASKS:
        newest = max(folder.glob(f"samples_{task}_*.jsonl"))
        lines = map(json.loads, newest.read_text(encoding="utf-8").splitlines())
        samples[task] = {line["doc_id"]: line for line in lines}
    return samples, json.loads(max(folder.glob("results_*.json")).read_text(encoding="utf-8")), seconds


def largest_gap(ours: Samples, theirs: Samples) -> tuple[float, int]:
    """The largest difference between scores, and the number of decisions that differ."""
    gap, differ = 0.0, len(ours.keys() ^ theirs.keys())
    for name in ours.keys() & theirs.keys():
        one, other = ours[name], theirs[name]
        gap = max(gap, *(abs(a - b) for a, b in zip(one["scores"], other["scores"], strict=True)))
        differ += one["acc"] != other["acc"]
    return gap, differ


def reference_gap(clip: ReferenceClip, coco: Path, concept: str, ours: Samples) -> tuple[float, int]:
    """Likewise against the reference, for a ranking task."""
    expected = rank_captions(clip, coco, dict(load_concept(concept).replacements))
    gap, differ = 0.0, abs(len(expected) - len(ours))
    for line in ours.values():
        scores = expected[line["image"], line["texts"][0]]
        gap = max(gap, *(abs(a - b) for a, b in zip(line["scores"], scores, strict=True)))
        differ += bool(line["acc"]) != (scores[0] > max(scores[1:]))
    return gap, differ


def main() -> int:
    """Compare, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with COCO val2017")
    parser.add_argument("--size", default="vit-b-32", choices=["tiny", "small", "vit-b-32"])
    parser.add_argument("--output_path", type=Path, required=True)
    options = parser.parse_args()
    models = {
        library: build_clip(options.output_path / f"{options.size}-{library}", options.size, seed=1, library=library)
        for library in ("transformers", "open_clip")
    }
    runs = {library: run(path, options.data, options.output_path / "results") for library, path in models.items()}
    ours, results, seconds = runs["transformers"]
    print(f"{options.size}: {seconds:.1f} s with transformers, {runs['open_clip'][2]:.1f} s with open_clip")
    wrong = 0
    for task in TASKS:
        gap, differ = largest_gap(ours[task], runs["open_clip"][0][task])
        print(f"{task}: {len(ours[task])} samples; formats differ by {gap:.1e} at most, in {differ} decisions")
        wrong += differ + (gap > 1e-5)
    clip = ReferenceClip(models["transformers"])
    for concept in ("color", "location"):
        gap, differ = reference_gap(clip, options.data, concept, ours[f"coco_{concept}"])
        print(f"coco_{concept}: the reference differs by {gap:.1e} at most, in {differ} decisions")
        wrong += differ + (gap > 1e-5)
    row = results["results"]["coco_retrieval"]
    for name, value in retrieval(clip, options.data).items():
        same = abs(row[f"{name},none"] - value) < 1e-12
        print(f"coco_retrieval: {name} {row[f'{name},none']:.6f}, the reference {value:.6f}")
        wrong += not same
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
