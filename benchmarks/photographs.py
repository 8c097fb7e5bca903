"""Hard negatives on real photographs: how their replacements are drawn, and what else may help, on Flickr8k.

    python benchmarks/real_encoders.py WHEELS ENCODERS
    python benchmarks/photographs.py --encoders ENCODERS --flickr8k FOLDER --output_path OUT
        [--concepts color,location] [--runs clas,uniform,matched,mask,mix] [--seeds 0]

The base model pairs an ImageNet EfficientNet-Lite0, frozen, with all-MiniLM-L6-v2: its projection and the text encoder
are trained on the training photographs (batches of 128). From it, each run trains the text encoder on one concept's
captions, 120 steps of 64 at 2e-5. Scored on the test photographs: accuracy, accuracy averaged over keywords, and
text-to-image Recall@5 with the first caption of each photograph.
Finished runs are kept, interrupted ones are resumed; `photographs.md` and `.json` are written after each run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from clipbench.evaluation.api import evaluate
from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import Recipe
from clipbench.training.run_folder import RunFolder
from clipbench.training.trainer import FineTuning
from clipbench.utils.files import atomic_write

BASE = {"negatives": 0, "freeze": ("image",), "center_images": True, "projection_learning_rate": 1e-3,
        "learning_rate": 5e-5, "lr_schedule": "cosine", "warmup_steps": 50, "batch_size": 128, "same_image": "keep",
        "precision": "fp32", "checkpoint_every": 1.0}  # fmt: skip
CONCEPT = {"freeze": ("image", "image_projection"), "learning_rate": 2e-5, "batch_size": 64, "same_image": "keep",
           "max_steps": 120, "precision": "fp32", "checkpoint_every": 1e6}  # fmt: skip
RUNS: dict[str, dict[str, Any]] = {
    "clas": {"negatives": 0},
    "uniform": {},
    "matched": {"replacement_sampling": "matched"},
    "mask": {"same_image": "mask"},
    "mix": {"mix": {"general": 0.5}},
    "matched+mix": {"replacement_sampling": "matched", "mix": {"general": 0.5}},
}
SCORES = ("accuracy", "averaged over keywords", "T2I R@5")


def train(model: str, arguments: argparse.Namespace, folder: Path, recipe: Recipe, **model_args: str) -> None:
    """Train one run, or what is missing of it."""
    run = RunFolder(folder)
    if run.facts().get("status") == "finished":
        run.check({"recipe": recipe.as_dict()})
        return
    options = FinetuneOptions(data={"flickr8k": str(arguments.flickr8k)}, model_args=model_args, device="cpu", keep=2)
    tuning = FineTuning.prepare(
        model, "flickr8k", recipe, options, folder, lambda text: print(f"{folder.name}: {text}", file=sys.stderr)
    )
    for _ in tuning.run():
        pass


def scores(folder: Path, concepts: list[str], place: Path) -> dict[str, dict[str, float]]:
    """By concept, the scores of the model in a folder, in percent."""
    kept = folder / "test_scores.json"
    found: dict[str, dict[str, float]] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    if not set(concepts) <= found.keys():
        names = ",".join(["flickr8k_retrieval_first", *(f"flickr8k_{concept}" for concept in concepts)])
        results = evaluate(str(folder), names, data={"flickr8k": str(place)})
        recall = results.metric("flickr8k_retrieval_first", "t2i_recall@5")
        for concept in concepts:
            accuracy, balanced = (results.metric(f"flickr8k_{concept}", name) for name in ("acc", "acc_balanced"))
            values = (accuracy, balanced, recall)
            found[concept] = {name: 100 * value for name, value in zip(SCORES, values, strict=True)}
        atomic_write(kept, json.dumps(found, indent=1))
    return found


def table(results: dict[str, dict[str, dict[int, dict[str, float]]]]) -> str:
    """A Markdown table: a row for each concept and run, the mean over seeds."""
    lines = ["| concept | run | seeds | " + " | ".join(SCORES) + " |", "|---|---|--:|" + "--:|" * len(SCORES)]
    for concept, runs in results.items():
        for name, by_seed in runs.items():
            means = [sum(found[score] for found in by_seed.values()) / len(by_seed) for score in SCORES]
            cells = " | ".join(f"{mean:.1f}" for mean in means)
            lines.append(f"| {concept} | {name} | {len(by_seed)} | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train and score run after run, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", type=Path, required=True, help="the folder of real_encoders.py")
    parser.add_argument("--flickr8k", type=Path, required=True)
    parser.add_argument("--output_path", type=Path, required=True)
    parser.add_argument("--base", type=Path, help="a base model that is trained already")
    parser.add_argument("--base_steps", type=int, default=500)
    parser.add_argument("--concepts", default="color,location")
    parser.add_argument("--runs", default="clas,uniform,matched")
    parser.add_argument("--seeds", default="0")
    arguments = parser.parse_args()
    concepts = arguments.concepts.split(",")
    base = arguments.base or arguments.output_path / "base"
    if not arguments.base:
        encoders = {
            "vision": str(arguments.encoders / "efficientnet_lite0"),
            "text": str(arguments.encoders / "minilm"),
        }
        pair = {**encoders, "image_projection": "linear", "text_projection": "none", "projection_dim": "384"}
        train("dual_encoder", arguments, base, Recipe(("none",), max_steps=arguments.base_steps, **BASE), **pair)
    results: dict[str, dict[str, dict[int, dict[str, float]]]] = {concept: {} for concept in concepts}
    for concept, found in scores(base, concepts, arguments.flickr8k).items():
        results.setdefault(concept, {})["base model"] = {0: found}
    for seed in map(int, arguments.seeds.split(",")):
        for concept in concepts:
            for name in arguments.runs.split(","):
                folder = arguments.output_path / f"{concept}-{name}-seed{seed}"
                train(str(base), arguments, folder, Recipe((concept,), **{**CONCEPT, "seed": seed, **RUNS[name]}))
                found = scores(folder, [concept], arguments.flickr8k)[concept]
                results[concept].setdefault(name, {})[seed] = found
                atomic_write(arguments.output_path / "photographs.json", json.dumps(results, indent=1) + "\n")
                atomic_write(arguments.output_path / "photographs.md", table(results))
    print(table(results))


if __name__ == "__main__":
    main()
