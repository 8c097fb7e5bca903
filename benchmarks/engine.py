"""How fast clipbench scores: against CLIP_benchmark, against its own towers, one run against five, and its start.

    python benchmarks/engine.py --data coco=COCO_FOLDER [--parts ranking,retrieval,tasks,cache,start] [--rounds 3]

COCO_FOLDER holds annotations/captions_val2017.json and val2017/, some of whose photographs suffice. Without --model it
is a ViT-B/32 of seeded weights. Contenders run in processes of their own, in turn, on the same samples, weights, pixels
and threads, in float32; medians of the rounds are printed, and what was found is compared. The peer:

    pip install clip-benchmark    (or, apart, and PYTHONPATH=DIR: pip install --no-deps --target DIR clip-benchmark
    scikit-learn joblib threadpoolctl cloudpickle narwhals)

Parts: `ranking`, coco_object's captions with 79 variants each, on --samples of them; `retrieval`, coco_retrieval on all
photographs there are; `choice`, captions against four shuffles; `classification`, 20 classes of 80 prompts; all also
against bare forwards of the same batches. `tasks`: five COCO tasks, --limit samples
each, in one run and in five. `cache`: coco_retrieval twice with --use_cache. `start`: `--help` and `ls tasks`.
`dtype`: some tasks in float32 and in bfloat16, of the ViT-B/32 and of the demo model, which is trained: which share of
the decisions turns.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.engine_data import write_choice, write_classification
from benchmarks.engine_table import Answer, Table, median
from benchmarks.figures import JSON_FLAG, Figure, write_figures
from clipbench.cli.values import parse_pairs
from tests.seeded import build_clip

CONTENDERS = Path(__file__).with_name("engine_contenders.py")
_OVERHEAD = 1.05  # over bare forwards, at most
COCO_TASKS = ("coco_object", "coco_color", "coco_location", "coco_size", "coco_retrieval")
DTYPE_TASKS = {
    "coco": ["coco_object", "coco_retrieval"],
    "scenes": ["scenes_object", "scenes_inpaint_object", "scenes_retrieval"],
}


def contend(name: str, asked: Answer) -> Answer:
    """Run a contender in a process of its own."""
    command = [sys.executable, str(CONTENDERS), name, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    answer: Answer = json.loads(done.stdout.splitlines()[-1])
    return answer


def in_turn(contenders: dict[str, Callable[[], Answer]], rounds: int) -> dict[str, list[Answer]]:
    """Run every contender in every round, each round beginning with the next one."""
    answers: dict[str, list[Answer]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            answers[name].append(contenders[name]())
            print(f"  {name}: {answers[name][-1]['wall']:.1f} s", file=sys.stderr)
    return answers


def against_peer(
    part: str, task: str, target: float, asked: Answer, options: argparse.Namespace, agreement: Callable[..., str]
) -> None:
    """One task: clipbench, the peer, and the bare towers."""
    asked, table = {**asked, "task": task}, options.table
    contenders = {"clipbench": lambda: contend("ours", asked), "peer": lambda: contend("peer", asked)}
    answers = in_turn(contenders, options.rounds)
    ours, peer = answers["clipbench"], answers["peer"]
    floor, own = ([answer[which] for answer in ours] for which in ("floor", "own"))
    table.show(part, "clipbench", ours, "clipbench")
    table.show(part, f"CLIP_benchmark, {peer[0]['tokens']:,} tokens", peer)
    table.show(part, f"bare forwards of clipbench's {ours[0]['images']} images and {ours[0]['tokens']:,} tokens", floor)
    table.ratio(part, "CLIP_benchmark ÷ clipbench", peer, ours, "higher", target)
    table.ratio(part, "clipbench ÷ bare forwards", ours, floor, "lower", _OVERHEAD)
    table.ratio(part, "clipbench ÷ its own forwards", ours, own, "lower")
    table.say(part, agreement(ours[0], peer[0]))


def same_decisions(ours: Answer, peer: Answer) -> str:
    """On how many samples both put the same text first, and how far scores are apart."""
    one, other = np.array(ours["scores"]), np.array(peer["scores"])
    same = int((one.argmax(axis=1) == other.argmax(axis=1)).sum())
    return f"same text first on {same} of {len(one)} samples; scores differ by {np.abs(one - other).max():.0e} at most"


def same_recall(ours: Answer, peer: Answer) -> str:
    """Whether every recall is the same number; the peer's are rounded to single precision."""
    pairs = {name: (np.float32(ours["recall"][name]), np.float32(value)) for name, value in peer["recall"].items()}
    differing = [name for name, (one, other) in pairs.items() if one != other]
    return f"recall differs: {', '.join(differing)}" if differing else f"{len(peer['recall'])} recalls, all the same"


def ranking(options: argparse.Namespace, asked: Answer) -> None:
    """coco_object against image-caption selection."""
    # Many short batches suit the peer on a CPU: a sample of 80 texts at a time is its fastest.
    asked = {**asked, "samples": options.samples, "peer_batch": 1}
    against_peer("ranking", "coco_object", 10, asked, options, same_decisions)


def retrieval(options: argparse.Namespace, asked: Answer) -> None:
    """coco_retrieval against zero-shot retrieval."""
    asked = {**asked, "samples": 0, "peer_batch": 64}
    against_peer("retrieval", "coco_retrieval", 4, asked, options, same_recall)


def choice(options: argparse.Namespace, asked: Answer) -> None:
    """Every photograph's first caption against four shuffles of its words, as ARO's order tasks."""
    asked = {**asked, "samples": 0, "peer_batch": 16}
    against_peer("choice", str(write_choice(asked["coco"], asked["folder"])), 3, asked, options, same_decisions)


def classification(options: argparse.Namespace, asked: Answer) -> None:
    """Every photograph and 20 classes of 80 prompts; classes are dealt out in turn, for lack of labels."""
    asked = {**asked, "samples": 0, "peer_batch": 64}
    task = write_classification(asked["coco"], asked["folder"])
    against_peer("classification", str(task), 1, asked, options, same_answers)


def same_answers(ours: Answer, peer: Answer) -> str:
    """On how many samples both are right or wrong alike."""
    same = sum(one == other for one, other in zip(ours["right"], peer["right"], strict=True))
    return f"the same answer on {same} of {len(ours['right'])} samples"


def tasks(options: argparse.Namespace, asked: Answer) -> None:
    """Five tasks in one run, and in a run each; once, since it takes long."""
    asked = {**asked, "limit": options.limit}
    together = contend("run", {**asked, "tasks": list(COCO_TASKS)})
    singly = [contend("run", {**asked, "tasks": [task]}) for task in COCO_TASKS]
    five = {key: sum(answer[key] for answer in singly) for key in ("wall", "cpu", "images")}
    one_run = f"one run: {together['images']} images encoded, {together['distinct']} distinct"
    options.table.show("tasks", one_run, [together], "one run")
    options.table.show("tasks", f"five runs: {five['images']} images encoded", [five])
    options.table.ratio("tasks", "five runs ÷ one run", [five], [together])


def _command(arguments: list[str]) -> Answer:
    """Run clipbench's command line, timed as a whole."""
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "clipbench", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"clipbench {' '.join(arguments)} failed:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": time.perf_counter() - wall, "cpu": cpu, "output": done.stdout}


def cache(options: argparse.Namespace, asked: Answer) -> None:
    """coco_retrieval without the cache's help and with it; the task's seconds, loading and writing apart."""
    cold, warm = [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            command = ["eval", "--model", f"open_clip:{asked['model']}", "--tasks", "coco_retrieval", "--data"]
            command += [f"coco={asked['coco']}", "--allow_missing", "--format", "json", "--use_cache", folder]
            for runs in (cold, warm):
                run = _command(command)
                runs.append({**run, "task": json.loads(run["output"])["tasks"]["coco_retrieval"]["seconds"]})
    if any(json.loads(run["output"])["results"] != json.loads(cold[0]["output"])["results"] for run in cold + warm):
        sys.exit("cache: results differ")
    for name, runs in (("first run", cold), ("second run", warm)):
        options.table.show("cache", f"{name}, the whole command; the task itself {median(runs, 'task'):.2f} s", runs)
    times = median(cold, "task") / median(warm, "task")
    figure = Figure("cache, first ÷ second run, the task itself", times, "×", "higher", 20)
    options.table.say(
        "cache", f"**first ÷ second, the task itself** (target ≥ 20): **{times:.1f} ×**; same results", figure
    )


def start(options: argparse.Namespace, asked: Answer) -> None:
    """What the command line takes before it does anything."""
    for arguments in (["--help"], ["ls", "tasks"]):
        runs = [_command(arguments) for _ in range(max(5, options.rounds))]
        command = f"`clipbench {' '.join(arguments)}`"
        options.table.show("start", command, runs, command, 0.4)


def dtype(options: argparse.Namespace, asked: Answer) -> None:
    """Ranking, pairs and retrieval in float32 and in bfloat16: seconds, and which share of the decisions turns."""
    limit = max(2 * options.samples, options.limit)
    models = {
        "seeded ViT-B/32": {"model": f"open_clip:{asked['model']}", "tasks": DTYPE_TASKS["coco"], "limit": limit},
        "demo": {"model": "demo", "tasks": DTYPE_TASKS["scenes"]},  # which is trained
    }
    for name, chosen in models.items():
        contenders = {
            precision: partial(contend, "precision", {**asked, **chosen, "dtype": precision})
            for precision in ("float32", "bfloat16")
        }
        answers = in_turn(contenders, options.rounds)
        full, half = answers["float32"], answers["bfloat16"]
        options.table.ratio("dtype", f"{name}, float32 ÷ bfloat16", full, half)
        for task, decisions in full[0]["decisions"].items():
            turned = share_turned(decisions, half[0]["decisions"][task])
            figure = Figure(f"dtype, {name}, {task}, decisions turned", 100 * turned, "%")
            options.table.say("dtype", f"{name}, {task}: {100 * turned:.2f} % of {len(decisions):,} turn", figure)


def share_turned(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The share of samples whose decision differs."""
    if one.keys() != other.keys():
        sys.exit("dtype: not the same samples")
    return sum(one[key] != other[key] for key in one) / len(one)


PARTS = {
    "ranking": ranking,
    "retrieval": retrieval,
    "choice": choice,
    "classification": classification,
    "tasks": tasks,
    "cache": cache,
    "start": start,
    "dtype": dtype,
}


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="coco=COCO_FOLDER")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of %(default)s")
    parser.add_argument("--model", type=Path, help="a ViT-B/32 in open_clip's format: see benchmarks/make_models.py")
    parser.add_argument("--samples", type=int, default=12, help="captions of `ranking`, spread over all there are")
    parser.add_argument("--limit", type=int, default=40, help="samples a task of `tasks`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of each contender; otherwise what OMP_NUM_THREADS or torch says")
    parser.add_argument("--workers", type=int, default=2, help="decoding threads, or the peer's processes")
    parser.add_argument("--json", **JSON_FLAG)
    parser.add_argument("--amp", action="store_true", help="the peer under CPU autocast, its default: much slower")
    return parser.parse_args()


def main() -> None:
    """Run the parts and print a table."""
    options = read_options()
    parts = options.parts.split(",")
    if {"ranking", "retrieval", "choice", "classification"} & set(parts) and importlib.util.find_spec(
        "clip_benchmark"
    ) is None:
        sys.exit("CLIP_benchmark is not there: pip install clip-benchmark")
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    coco = parse_pairs((options.data,), "--data")["coco"]
    with tempfile.TemporaryDirectory() as folder:
        wanted = set(parts) - {"start"}
        model = options.model or (build_clip(Path(folder), "vit-b-32", library="open_clip") if wanted else None)
        asked = {
            "coco": str(Path(coco).resolve()),
            "folder": folder,
            "model": str(model),
            "workers": options.workers,
            "amp": options.amp,
        }
        print(f"{os.cpu_count()} cores, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}\n")
        options.table = Table()
        for part in parts:
            PARTS[part](options, asked)
        write_figures(options.json, options.table.figures)


if __name__ == "__main__":
    main()
