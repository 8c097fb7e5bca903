"""How fast clipbench scores: against CLIP_benchmark, against its own towers, one run against five, and its start.

    python benchmarks/engine.py --data coco=COCO_FOLDER [--parts ranking,retrieval,tasks,cache,start] [--rounds 3]

COCO_FOLDER holds annotations/captions_val2017.json and val2017/, some of whose photographs suffice. Without --model it
is a ViT-B/32 of seeded weights. Contenders run in processes of their own, in turn, on the same samples, weights, pixels
and threads, in float32; medians of the rounds are printed, and what was found is compared. The peer:

    pip install clip-benchmark    (or, apart: pip install --no-deps --target DIR clip-benchmark, and PYTHONPATH=DIR)

Parts: `ranking`, coco_object's captions with 79 variants each, on --samples of them; `retrieval`, coco_retrieval on all
photographs there are; `choice`, captions against four shuffles; `classification`, 20 classes of 80 prompts; all also
against bare forwards of the same batches. `tasks`: five COCO tasks, --limit samples
each, in one run and in five. `cache`: coco_retrieval twice with --use_cache. `start`: `--help` and `ls tasks`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

from clipbench.cli.values import parse_pairs
from tests.seeded import build_clip

Answer = dict[str, Any]
CONTENDERS = Path(__file__).with_name("engine_contenders.py")
COCO_TASKS = ("coco_object", "coco_color", "coco_location", "coco_size", "coco_retrieval")


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


def median(answers: list[Answer], clock: str) -> float:
    """The median of a clock, `wall` or `cpu`, in seconds."""
    return statistics.median(answer[clock] for answer in answers)


def show(part: str, name: str, answers: list[Answer]) -> None:
    """Print a contender's line of the table."""
    print(f"| {part} | {name} | {median(answers, 'wall'):.2f} | {median(answers, 'cpu'):.2f} |", flush=True)


def ratio(part: str, what: str, over: list[Answer], under: list[Answer], target: str) -> None:
    """Print how many times the one's seconds are the other's."""
    wall, cpu = (median(over, clock) / median(under, clock) for clock in ("wall", "cpu"))
    print(f"| {part} | **{what}** (target {target}) | **{wall:.2f} ×** | **{cpu:.2f} ×** |", flush=True)


def against_peer(part: str, task: str, target: str, asked: Answer, rounds: int, agreement: Callable[..., str]) -> None:
    """One task: clipbench, the peer, and the bare towers."""
    asked = {**asked, "task": task}
    answers = in_turn({"clipbench": lambda: contend("ours", asked), "peer": lambda: contend("peer", asked)}, rounds)
    ours, peer = answers["clipbench"], answers["peer"]
    floor = [answer["floor"] for answer in ours]
    show(part, "clipbench", ours)
    show(part, f"CLIP_benchmark, {peer[0]['tokens']:,} tokens", peer)
    show(part, f"bare forwards of clipbench's {ours[0]['images']} images and {ours[0]['tokens']:,} tokens", floor)
    ratio(part, "CLIP_benchmark ÷ clipbench", peer, ours, target)
    ratio(part, "clipbench ÷ bare forwards", ours, floor, "≤ 1.15")
    print(f"| {part} | {agreement(ours[0], peer[0])} | | |", flush=True)


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
    against_peer("ranking", "coco_object", "≥ 8", asked, options.rounds, same_decisions)


def retrieval(options: argparse.Namespace, asked: Answer) -> None:
    """coco_retrieval against zero-shot retrieval."""
    asked = {**asked, "samples": 0, "peer_batch": 64}
    against_peer("retrieval", "coco_retrieval", "≥ 3", asked, options.rounds, same_recall)


def choice(options: argparse.Namespace, asked: Answer) -> None:
    """Every photograph's first caption against four shuffles of its words, as ARO's order tasks."""
    draw = random.Random(0)
    lines = []
    for name, caption in _first_captions(Path(asked["coco"])).items():
        words = caption.split()
        shuffled = [" ".join(draw.sample(words, len(words))) for _ in range(4)]
        lines.append(json.dumps({"image": name, "caption": caption, "false_captions": shuffled}) + "\n")
    folder = Path(asked["folder"])
    (folder / "choice.jsonl").write_text("".join(lines))
    (folder / "choice.yaml").write_text(
        "name: order\ntask_type: choice\ndataset: {path: choice.jsonl, images: image, captions: caption,"
        f" false_captions: false_captions, image_folder: {asked['coco']}/val2017}}\n"
    )
    asked = {**asked, "samples": 0, "peer_batch": 16}
    against_peer("choice", str(folder / "choice.yaml"), "≥ 3", asked, options.rounds, same_decisions)


def classification(options: argparse.Namespace, asked: Answer) -> None:
    """Every photograph and 20 classes of 80 prompts; classes are dealt out in turn, for lack of labels."""
    from open_clip import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES

    names = IMAGENET_CLASSNAMES[:20]
    templates = [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]
    photographs = _first_captions(Path(asked["coco"]))
    rows = [f"{asked['coco']}/val2017/{name},{number % len(names)}" for number, name in enumerate(photographs)]
    folder = Path(asked["folder"])
    (folder / "classes.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    declared = {"name": "classes", "task_type": "classification", "class_names": names, "templates": templates,
                "dataset": {"path": "classes.csv", "images": "image", "label": "label"}}  # fmt: skip
    (folder / "classes.yaml").write_text(json.dumps(declared))  # JSON is YAML
    asked = {**asked, "samples": 0, "peer_batch": 64}
    against_peer("classification", str(folder / "classes.yaml"), "≥ 1", asked, options.rounds, same_answers)


def _first_captions(coco: Path) -> dict[str, str]:
    """Photographs that are there, each with its first caption."""
    data = json.loads((coco / "annotations/captions_val2017.json").read_text())
    names = {image["id"]: image["file_name"] for image in data["images"]}
    found: dict[str, str] = {}
    for line in data["annotations"]:
        found.setdefault(names[line["image_id"]], line["caption"])
    return {name: caption for name, caption in found.items() if (coco / "val2017" / name).exists()}


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
    show("tasks", f"one run: {together['images']} images encoded, {together['distinct']} distinct", [together])
    show("tasks", f"five runs: {five['images']} images encoded", [five])
    ratio("tasks", "five runs ÷ one run", [five], [together], "> 1")


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
    if "--use_cache" not in _command(["eval", "--help"])["output"]:
        print("| cache | `clipbench eval` has no --use_cache | | |")
        return
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
        show("cache", f"{name}, the whole command; the task itself {median(runs, 'task'):.2f} s", runs)
    times = median(cold, "task") / median(warm, "task")
    print(f"| cache | **first ÷ second, the task itself** (target ≥ 20); same results | **{times:.1f} ×** | |")


def start(options: argparse.Namespace, asked: Answer) -> None:
    """What the command line takes before it does anything."""
    for arguments in (["--help"], ["ls", "tasks"]):
        runs = [_command(arguments) for _ in range(max(5, options.rounds))]
        show("start", f"`clipbench {' '.join(arguments)}` (target < 0.4)", runs)


PARTS = {
    "ranking": ranking,
    "retrieval": retrieval,
    "choice": choice,
    "classification": classification,
    "tasks": tasks,
    "cache": cache,
    "start": start,
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
        print("| part | what | wall s | CPU s |\n|---|---|---|---|")
        for part in parts:
            PARTS[part](options, asked)


if __name__ == "__main__":
    main()
