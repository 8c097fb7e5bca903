"""Hold two checkouts of clipbench against each other: every score, weight and figure of the same runs, to the last bit.

    git clone . ../before && git -C ../before checkout COMMIT
    python benchmarks/same_numbers.py ../before . --output_path out [--data COCO_FOLDER] [--only scenes,training,…]

Runs in each checkout, as processes of their own:

* ``scenes``: `eval` of the demo model on all scenes tasks, with samples;
* ``photographs``: `eval` of two CLIPs of seeded weights (one of ViT-B/32's shape, one small), in both libraries'
  formats, on COCO's photographs, with samples (only with ``--data``);
* ``training``: 40 steps on hard negatives, stopped after the first checkpoint and resumed;
* ``board``: a leaderboard of all these results, and a comparison of the base and the trained model.

The models of seeded weights are built once, by the first checkout. What is already done under ``--output_path`` is not
done again. Prints a line for each thing compared, and exits with 1 where a number differs.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

CASES = ("scenes", "photographs", "training", "board")
PHOTOGRAPH_TASKS = "coco_color,coco_size,coco_location,coco_retrieval"
BUILD = """
from pathlib import Path
from clipbench.models.seeded import build_clip
build_clip(Path({path!r}), {size!r}, 1, library={library!r})
"""
# What a command's flag was called before: the new name, and the old ones.
STOPPED = 3  # how stopped_training.py exits
FORMER = {"--train_data": ("--data",), "--image_cache": ("--cache_dir",)}


class Checkout:
    """A checkout whose commands are run."""

    def __init__(self, folder: Path, out: Path) -> None:
        self.folder, self.out = folder.resolve(), out.resolve()
        self._environment = {**os.environ, "PYTHONPATH": str(self.folder), "HF_HUB_OFFLINE": "1"}

    def python(self, *arguments: object, code: int = 0) -> str:
        """Run Python with this checkout's clipbench, which has to exit with ``code``; returns its standard output."""
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, env=self._environment, cwd=self.folder, capture_output=True, text=True)
        if done.returncode != code:
            raise SystemExit(f"{self.folder}: {' '.join(command)}\n{done.stderr[-2000:]}")
        return done.stdout

    @cache  # noqa: B019  # two checkouts live as long as the script
    def _help(self, command: str) -> str:
        return self.python("-m", "clipbench", command, "--help")

    def run(self, command: str, *arguments: object) -> str:
        """Run a command of clipbench, with flags as this checkout spells them."""
        spelled = []
        for argument in map(str, arguments):
            names = (argument, *FORMER.get(argument, ()))
            spelled.append(next((name for name in names if name in self._help(command)), argument))
        return self.python("-m", "clipbench", command, *spelled)

    def eval(self, name: str, model: object, tasks: str, *more: object) -> Path:
        """Evaluate, unless that is done; returns the folder of the results."""
        folder = self.out / name
        if not list(folder.rglob("results_*.json")):
            self.run("eval", "--model", model, "--tasks", tasks, "--output_path", folder, "--log_samples", *more)
        return folder

    def train(self) -> Path:
        """Train for 40 steps with a stop on the way, unless that is done; returns the model's folder."""
        folder = self.out / "trained"
        if not (folder / "finetune.json").is_file() or not list(folder.glob("*.safetensors")):
            shutil.rmtree(folder, ignore_errors=True)
            flags = ["--model", "demo", "--train_data", "scenes=2000", "--concept", "color", "--negatives", 2]
            flags += ["--batch_size", 32, "--learning_rate", 1e-3, "--seed", 3, "--device", "cpu"]
            flags += ["--checkpoint_every", 0.2, "--image_cache", self.out / "images", "--output_path", folder]
            script = Path(__file__).with_name("stopped_training.py")
            self.python(script, *self._spelled("finetune", flags), "--max_steps", 40, code=STOPPED)
            (checkpoint,) = folder.glob("checkpoint-*")
            print(f"{self.folder.name}: stopped at {checkpoint.name}, to be resumed", flush=True)
            self.run("finetune", *flags, "--max_steps", 40)
        return folder

    def _spelled(self, command: str, arguments: list[Any]) -> list[str]:
        text = self._help(command)
        return [
            next((name for name in (str(one), *FORMER.get(str(one), ())) if name in text), str(one))
            for one in arguments
        ]


def differences(before: object, after: object, place: str = "") -> Iterator[str]:
    """Places where two JSON values differ in a number, of what both hold."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() & after.keys():
            yield from differences(before[key], after[key], f"{place}/{key}")
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield f"{place}: {len(before)} and {len(after)} entries"
        for index, pair in enumerate(zip(before, after, strict=False)):
            yield from differences(*pair, f"{place}/{index}")
    elif (
        isinstance(before, int | float)
        and isinstance(after, int | float)
        and before != after
        and not (math.isnan(before) and math.isnan(after))
    ):
        yield f"{place}: {before!r} and {after!r}"


def scores_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Task to its row of metrics, in lm-evaluation-harness's layout, and its number of samples."""
    (path,) = folder.rglob("results_*.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    return {
        task: {
            **{key.replace("_centred,", "_chance_corrected,"): value for key, value in row.items()},  # the older name
            "n": data["n-samples"][task],
        }
        for task, row in data["results"].items()
    }


def samples_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Task and sample to the logged line."""
    lines = {}
    for path in sorted(folder.rglob("samples_*.jsonl")):
        for text in path.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            lines[f"{line['task']} {line['doc_id']}"] = line
    return lines


def compare_runs(name: str, before: Path, after: Path) -> int:
    """Compare two evaluations; returns how many numbers differ."""
    old, new = scores_of(before), scores_of(after)
    found = list(differences(old, new))
    found += [f"{task}: only one has it" for task in sorted(old.keys() ^ new.keys())]
    metrics = sum(len(row) for row in old.values())
    lines, others = samples_of(before), samples_of(after)
    found += [f"sample {key}: only one has it" for key in sorted(lines.keys() ^ others.keys())]
    compared = 0
    for key in lines.keys() & others.keys():
        shared = lines[key].keys() & others[key].keys()
        compared += len(lines[key]["scores"])
        found += [f"sample {key}: {text}" for text in differences(lines[key], others[key])]
        if "scores" not in shared or lines[key]["texts"] != others[key]["texts"]:
            found.append(f"sample {key}: other texts")
    return report(name, f"{metrics} figures of {len(old)} tasks, {compared:,} scores of {len(lines):,} samples", found)


def compare_weights(name: str, before: Path, after: Path) -> int:
    """Compare two trained models tensor by tensor; returns how many differ."""
    from safetensors.torch import load_file

    (old,), (new,) = before.glob("*.safetensors"), after.glob("*.safetensors")
    ours, theirs = load_file(old), load_file(new)
    found = [f"{key}: only one has it" for key in sorted(ours.keys() ^ theirs.keys())]
    found += [key for key in ours.keys() & theirs.keys() if not ours[key].equal(theirs[key])]
    numbers = sum(tensor.numel() for tensor in ours.values())
    return report(name, f"{len(ours)} tensors, {numbers:,} weights", found)


def board_of(checkout: Checkout, folders: list[Path]) -> dict[str, list[float]]:
    """Model, task and metric to the numbers of its line."""
    target = checkout.out / "board.csv"
    text = checkout.run("leaderboard", *folders, "--format", "csv")
    target.write_text(text, encoding="utf-8")
    board: dict[str, list[float]] = {}
    for row in csv.DictReader(text.splitlines()):
        names = {key.lower(): value for key, value in row.items()}
        numbers = [float(names[key]) for key in ("value", "stderr", "chance", "n") if names.get(key)]
        board[f"{Path(names['model']).name} {names['task']} {names.get('metric', '')}"] = numbers
    return board


def comparison_of(checkout: Checkout, one: Path, other: Path) -> list[list[float]]:
    """The numbers of `compare`, a list for each task, in order."""
    found = json.loads(checkout.run("compare", one, other, "--format", "json"))
    rows = found if isinstance(found, list) else found.get("tasks") or found.get("rows")
    rows = list(rows.values()) if isinstance(rows, dict) else rows
    return [
        sorted(value for value in _leaves(row) if isinstance(value, int | float) and not isinstance(value, bool))
        for row in rows
    ]


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def report(name: str, what: str, found: list[str]) -> int:
    """Print a line, and what differs."""
    print(f"{name}: {what}: {'equal to the last bit' if not found else f'{len(found)} differ'}", flush=True)
    for text in found[:10]:
        print(f"  {text}")
    return len(found)


def seeded_models(before: Checkout, out: Path) -> dict[str, Path]:
    """CLIPs of seeded weights in both libraries' formats, built once."""
    models = {}
    for size in ("small", "vit-b-32"):
        for library in ("transformers", "open_clip"):
            path = models[f"{size}-{library}"] = out.resolve() / "models" / f"{size}-{library}"
            if not path.is_dir():
                script = BUILD.format(path=str(path), size=size, library=library)
                before.python("-c", script)
    return models


def main() -> int:
    """Run both checkouts, compare, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--output_path", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder with COCO val2017")
    parser.add_argument("--only", default=",".join(CASES), help=f"some of {','.join(CASES)}")
    parser.add_argument("--open_clip_args", default="", help="model_args of the second checkout's open_clip models")
    options = parser.parse_args()
    chosen, out = options.only.split(","), options.output_path
    before, after = Checkout(options.before, out / "before"), Checkout(options.after, out / "after")
    wrong = 0
    if "scenes" in chosen:
        wrong += compare_runs("scenes", *[one.eval("scenes", "demo", "scenes") for one in (before, after)])
    if "photographs" in chosen and options.data:
        for name, path in seeded_models(before, out).items():
            more = ["--data", f"coco={options.data.resolve()}", "--allow_missing"]
            aligned = ["--model_args", options.open_clip_args] if options.open_clip_args and "open_clip" in name else []
            old = before.eval(name, path, PHOTOGRAPH_TASKS, *more)
            wrong += compare_runs(name, old, after.eval(name, path, PHOTOGRAPH_TASKS, *more, *aligned))
    if "training" in chosen:
        wrong += compare_weights("training", before.train(), after.train())
        tasks = "scenes_color,scenes_retrieval"
        wrong += compare_runs("trained", *[one.eval("scores", one.out / "trained", tasks) for one in (before, after)])
    if "board" in chosen:
        names = [path.name for path in sorted(before.out.iterdir()) if list(path.rglob("results_*.json"))]
        boards = [board_of(one, [one.out / name for name in names]) for one in (before, after)]
        found = list(differences(*boards)) + sorted(boards[0].keys() ^ boards[1].keys())
        wrong += report("board", f"{len(boards[0])} lines", found)
        comparisons = [comparison_of(one, one.out / "scenes", one.out / "scores") for one in (before, after)]
        wrong += report("comparison", f"{len(comparisons[0])} tasks", list(differences(*comparisons)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
