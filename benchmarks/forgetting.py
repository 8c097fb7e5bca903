"""What hard negatives cost in retrieval, and what gives it back: a general mix, an average of the weights, both.

    python benchmarks/forgetting.py --output_path OUT [--concept location] [--seeds 0,1,2] [--runs hn1,mix,ema,mix+ema]
    python benchmarks/forgetting.py --output_path OUT --concept color --runs clas,hn1,matched

Trains the demo model on synthetic scenes with the recipe of the scenes study: text encoder only, steps of 64 pairs at
a constant 1e-3 after a warm-up. All runs have the same number of steps, so that they cost about the same; with a mix,
half of the pairs are captions without a keyword. Only `mix-large` adds them, in batches twice as large. Each run is
scored on the concept's ranking and on retrieval, split `test`. Printed and written (`forgetting.md`,
`forgetting.json`): the mean over seeds, in percent, ± the standard deviation over seeds, and the difference from the
base model. A run that is finished in OUT is not trained again; an interrupted one is resumed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import Recipe
from clipbench.training.run_folder import RunFolder
from clipbench.utils.files import atomic_write

METRICS = {
    "accuracy": ("{task}", "acc"),
    "averaged over keywords": ("{task}", "acc_balanced"),
    "T2I R@5": ("scenes_retrieval", "t2i_recall@5"),
    "I2T R@5": ("scenes_retrieval", "i2t_recall@5"),
}
STUDY = {
    "learning_rate": 1e-3,
    "warmup_steps": 36,
    "freeze": ("image", "image_projection"),
    "same_image": "keep",
    "precision": "fp32",
    "checkpoint_every": 1e6,  # the last one only
}


def recipes(mix: float, ema: float, batch_size: int) -> dict[str, dict[str, Any]]:
    """The runs by name: what they differ in from the scenes study's HN1."""
    found: dict[str, dict[str, Any]] = {
        "clas": {"negatives": 0},
        "hn1": {},
        "mix": {"mix": {"general": mix}},
        "mix-large": {"mix": {"general": mix}, "batch_size": round(batch_size / (1 - mix))},  # as many with a keyword
        "ema": {"ema": ema},
        "mix+ema": {"mix": {"general": mix}, "ema": ema},
        "matched": {"replacement_sampling": "matched"},
    }
    known = {field.name for field in fields(Recipe)}
    return {name: changes for name, changes in found.items() if changes.keys() <= known}


def train(folder: Path, recipe: Recipe, arguments: argparse.Namespace) -> None:
    """Train and score one run, or what is missing of it."""
    from clipbench.training.trainer import FineTuning

    options = FinetuneOptions(
        device=arguments.device,
        limit=arguments.limit,
        keep=1,
        eval_tasks=f"scenes_{arguments.concept},scenes_retrieval",
        eval_limit=arguments.eval_limit,
    )

    def note(text: str) -> None:
        print(f"{folder.name}: {text}", file=sys.stderr)

    for _ in FineTuning.prepare("demo", "scenes", recipe, options, folder, note).run():
        pass


def finished(folder: Path, recipe: Recipe) -> bool:
    """Whether a run was trained and scored to its end; an error if it is one with another recipe."""
    run = RunFolder(folder)
    run.check({"recipe": recipe.as_dict()})
    return run.facts().get("status") == "finished"


def scores(folder: Path, concept: str) -> tuple[dict[str, float], dict[str, float]]:
    """The base model's and the trained model's scores, in percent."""
    files = sorted((folder / "evaluations").glob("step-*.json"))
    read = [json.loads(file.read_text(encoding="utf-8"))["results"] for file in (files[0], files[-1])]
    names = {label: (task.format(task=f"scenes_{concept}"), metric) for label, (task, metric) in METRICS.items()}
    base, trained = (
        {label: 100 * found[task][f"{metric},none"] for label, (task, metric) in names.items()} for found in read
    )
    return base, trained


def summary(runs: dict[str, dict[int, dict[str, float]]], base: dict[str, float]) -> str:
    """A Markdown table: mean ± standard deviation over seeds, and the difference from the base model."""
    lines = ["| run | seeds | " + " | ".join(METRICS) + " |", "|---|--:|" + "--:|" * len(METRICS)]
    lines.append("| base model | | " + " | ".join(f"{base[label]:.1f}" for label in METRICS) + " |")
    for name, by_seed in runs.items():
        cells = []
        for label in METRICS:
            values = [found[label] for found in by_seed.values()]
            mean = statistics.mean(values)
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{mean:.1f}{spread} ({mean - base[label]:+.1f})")
        lines.append(f"| {name} | {len(by_seed)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_path", type=Path, required=True)
    parser.add_argument("--concept", default="location", help="location, size, color or object")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--runs", default="hn1,mix,ema,mix+ema")
    parser.add_argument("--mix", type=float, default=0.5, help="share of captions without a keyword")
    parser.add_argument("--ema", type=float, default=0.99)
    parser.add_argument("--steps", type=int, default=360)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--limit", type=int, default=7680, help="captions of each kind")
    parser.add_argument("--eval_limit", type=int, default=None)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def main() -> None:
    """Train run after run, and write the table after each."""
    arguments = parsed()
    known = recipes(arguments.mix, arguments.ema, arguments.batch_size)
    names = arguments.runs.split(",")
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"--runs {','.join(unknown)}: give some of {','.join(known)}")
    arguments.output_path.mkdir(parents=True, exist_ok=True)
    runs: dict[str, dict[int, dict[str, float]]] = {}
    for seed in map(int, arguments.seeds.split(",")):  # seed by seed: an interrupted benchmark compares like with like
        for name in names:
            folder = arguments.output_path / f"{arguments.concept}-{name}-seed{seed}"
            given = {"batch_size": arguments.batch_size, "max_steps": arguments.steps, "seed": seed, **known[name]}
            recipe = Recipe((arguments.concept,), **{**STUDY, **given})
            if not finished(folder, recipe):
                train(folder, recipe, arguments)
            base, runs.setdefault(name, {})[seed] = scores(folder, arguments.concept)
            settings = {name: str(value) for name, value in vars(arguments).items() if name != "output_path"}
            report = {"settings": settings, "base": base, "runs": runs}
            atomic_write(arguments.output_path / "forgetting.json", json.dumps(report, indent=1) + "\n")
            atomic_write(arguments.output_path / "forgetting.md", summary(runs, base))
    print(summary(runs, base))


if __name__ == "__main__":
    main()
