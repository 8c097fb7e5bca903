"""Fine-tuning side by side: clipbench, open_clip's trainer, and transformers' `Trainer`.

    pip install "open_clip_torch[training]"
    python benchmarks/finetune.py --data coco=COCO_FOLDER [--batch_size 16] [--steps 3] [--rounds 2]
    python benchmarks/finetune.py --data coco=COCO_FOLDER --profile
    python benchmarks/finetune.py --data coco=COCO_FOLDER --device cuda --precision bf16 --batch_size 64 --steps 50

One seeded model in both libraries' formats, and one list of photographs and captions that hold a keyword of a concept,
trained on classically and with one hard negative a caption. The peers know no hard negatives: they are given them as
appended texts padded to 77 (how is said in benchmarks/finetuning/). Each trainer runs in a process of its own, in turn,
round after round; the first steps are not timed. What is printed are medians, with the least and the most in brackets.
Processor seconds are those of all threads and loader processes; on a machine with other work, trust them rather than
the samples per second. Peak memory is that of the training process, without its loader processes; on a GPU, of the
GPU. clipbench decodes every image once, before the first step: its last column counts this in. --profile tells instead
what the kinds of operations take in a step.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parent / "finetuning"))

from job import Job

from benchmarks.figures import JSON_FLAG, Figure, write_figures

SCRIPTS = Path(__file__).parent / "finetuning"
TRAINERS = ("clipbench", "open_clip", "transformers")
MODES = {0: "classical", 1: "one negative"}
TARGETS = {0: 2.0, 1: 2.5}  # times the better peer, float32 on a CPU
Runs = dict[str, list[dict[str, float]]]


def child(script: str, job: Job) -> dict[str, Any]:
    """Do a job in a process of its own."""
    folder = Path(job.folder)
    result = folder / "result.json"
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), str(job.write(folder / "job.json")), str(result)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(job.threads), "TOKENIZERS_PARALLELISM": "false"}
    environment["HF_HUB_OFFLINE"] = "1"
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{script} failed:\n{done.stderr[-4000:]}")
    values: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return values


def spread(values: Iterable[float], digits: int = 1) -> str:
    """The median, the least and the most."""
    ordered = sorted(values)
    low, middle, high = (f"{value:.{digits}f}" for value in (ordered[0], statistics.median(ordered), ordered[-1]))
    return f"{middle} ({low}–{high})"


def summary(runs: Runs, batch_size: int, made: dict[str, float], epochs: int) -> dict[str, dict[str, float]]:
    """Medians of each trainer, and what decoding every image once costs clipbench over some epochs."""
    found = {}
    for name, results in runs.items():
        middle = {key: statistics.median(result[key] for result in results) for key in results[0]}
        rate = included = batch_size / middle["seconds"]
        if name == "clipbench":
            shown = made["pairs"] * epochs
            included = shown / (shown / rate + made["decode_seconds"])
        found[name] = {**middle, "samples_per_second": rate, "decoding_included": included}
    peers = [values for name, values in found.items() if name != "clipbench"]
    for values in found.values():
        for key, best in (("samples_per_second", max), ("decoding_included", max), ("cpu_seconds", min)):
            better = best(peer[key] for peer in peers)
            values[f"{key}_ratio"] = better / values[key] if best is min else values[key] / better
    return found


def table(runs: Runs, found: dict[str, dict[str, float]], batch_size: int, epochs: int) -> str:
    """One mode's results as Markdown."""
    titles = ["trainer", "samples/s", "× the better peer", "processor s a step", "× the better peer"]
    titles += ["peak memory, GB", f"samples/s, decoding included ({epochs} epochs)"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name, results in runs.items():
        values = found[name]
        cells = [name, spread((batch_size / each["seconds"] for each in results), 2)]
        cells += [f"{values['samples_per_second_ratio']:.2f}", spread(each["cpu_seconds"] for each in results)]
        cells += [f"{values['cpu_seconds_ratio']:.2f}", spread((each["peak_memory"] / 1e9 for each in results), 2)]
        cells += [f"{values['decoding_included']:.2f} ({values['decoding_included_ratio']:.2f} ×)"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def profile_table(results: dict[str, dict[str, Any]]) -> str:
    """Seconds a step of each trainer by kind of operation, as Markdown."""
    lines = [f"| s a step | {' | '.join(results)} |", "|---|" + "--:|" * len(results)]
    for kind in next(iter(results.values()))["profile"]:
        cells = (f"{result['profile'][kind]:.2f}" for result in results.values())
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    wall = (f"{result['seconds']:.2f}" for result in results.values())
    return "\n".join([*lines, f"| a step, by the clock | {' | '.join(wall)} |"])


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", required=True, metavar="coco=FOLDER", help="photographs that are missing are left out"
    )
    parser.add_argument("--concept", default="object")
    parser.add_argument("--size", default="vit-b-32", choices=["tiny", "small", "vit-b-32"])
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--warmup", type=int, default=1, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=3, help="steps that are timed")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--modes", default="0,1", help="hard negatives a caption: 0, 1 or both")
    parser.add_argument("--epochs", type=int, default=3, help="over which decoding once is spread")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--workers", type=int, default=2, help="that decode")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--profile", action="store_true", help="where the seconds of a step go, one run each")
    parser.add_argument("--output_path", type=Path, help="a JSON file with every run")
    parser.add_argument("--json", **JSON_FLAG)
    return parser.parse_args()


def main() -> None:
    """Run all, print the tables."""
    options = parsed()
    if missing := [name for name in ("braceexpand", "pandas", "webdataset") if importlib.util.find_spec(name) is None]:
        sys.exit(f'{", ".join(missing)} not found: pip install "open_clip_torch[training]"')
    modes = [int(mode) for mode in options.modes.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        given = {field.name: getattr(options, field.name) for field in fields(Job) if hasattr(options, field.name)}
        job = Job(folder=folder, negatives=0, **given)
        made = child("prepare", replace(job, profile=False))
        if options.profile:
            for mode in modes:
                profiles = {name: child(f"{name}_trainer", replace(job, negatives=mode)) for name in TRAINERS}
                print(f"{MODES[mode]}\n\n{profile_table(profiles)}\n", flush=True)
            return
        runs: dict[int, Runs] = {mode: {name: [] for name in TRAINERS} for mode in modes}
        for number in range(options.rounds):
            for mode in modes:
                for name in TRAINERS:
                    result = child(f"{name}_trainer", replace(job, negatives=mode))
                    runs[mode][name].append(result)
                    print(f"round {number + 1}, {MODES[mode]}, {name}: {result}", file=sys.stderr, flush=True)
    report(options, made, runs)


def report(options: argparse.Namespace, made: dict[str, float], runs: dict[int, Runs]) -> None:
    """Print what was measured, and write it."""
    print(
        f"{options.size}, {options.device}, {options.precision}, batches of {options.batch_size}, {options.threads}"
        f" threads, {options.workers} workers; {made['pairs']:,} captions of {made['images']:,} photographs;"
        f" decoding each once: {made['decode_seconds']:.2f} s, {made['decode_cpu_seconds']:.2f} processor s"
    )
    figures: list[Figure] = []
    written: dict[str, Any] = {"options": {key: str(value) for key, value in vars(options).items()}, "made": made}
    for mode, results in runs.items():
        found = summary(results, options.batch_size, made, options.epochs)
        print(f"\n{MODES[mode]}\n\n{table(results, found, options.batch_size, options.epochs)}")
        written[MODES[mode]] = {"runs": results, "summary": found}
        ours, what = found["clipbench"], MODES[mode]
        figures += [
            Figure(
                f"{what}, clipbench ÷ the better peer", ours["samples_per_second_ratio"], "×", "higher", TARGETS[mode]
            ),
            Figure(f"{what}, the same of processor time", ours["cpu_seconds_ratio"], "×", "higher"),
            Figure(f"{what}, clipbench", ours["samples_per_second"], "samples/s", "higher"),
            Figure(f"{what}, clipbench's peak memory", ours["peak_memory"] / 1e9, "GB"),
        ]
    write_figures(options.json, figures)
    if options.output_path:
        options.output_path.write_text(json.dumps(written, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
