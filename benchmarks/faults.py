"""Try malformed inputs, kills and simultaneous runs on every command, and count what came of them.

    python benchmarks/faults.py [--inputs 300] [--kills 200] [--seed 0] [--output_path faults.json] [--only image,table]

Asked: no traceback, no hang of more than 30 seconds, no wrong number, no lost result. Exits with 1 if there is one.
Runs on Linux: every command is a forked child, so that a try costs no start of Python.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "benchmarks/fault_campaign"), str(ROOT)]

import files  # noqa: E402
import products  # noqa: E402
import settings  # noqa: E402
from cases import Case, copy_workspace  # noqa: E402
from kills import kill  # noqa: E402
from running import HANG_SECONDS, Ran, run  # noqa: E402
from together import together  # noqa: E402
from workspace import build, in_child, metrics  # noqa: E402

# Kind of input: where its cases come from, and its share of all inputs.
KINDS = {
    "image": (files.images, 40),
    "table": (files.tables, 55),
    "json": (files.caption_files, 30),
    "yaml": (settings.yaml, 50),
    "checkpoint": (products.checkpoints, 40),
    "result": (products.results, 40),
    "cache": (products.caches, 20),
    "option": (settings.options, 45),
    "environment": (settings.environments, 12),
}
GOOD = (None, "right", "refused", "accepted")
Line = tuple[str, str, str | None, str]


def main() -> None:
    """Read the command line, try everything, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=300, help="malformed inputs in all")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3, help="simultaneous runs per command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help=f"some of {','.join([*KINDS, 'kill', 'together'])}")
    parser.add_argument("--output_path", type=Path, help="a JSON file of every try")
    chosen = parser.parse_args()
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", PYTHONPATH=str(ROOT), CLIPBENCH_CACHE="unset-cache")
    _import_everything()
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        scratch = Path(place)
        build(scratch / "base")
        tries = []
        for kind, what, fault, messages in _tries(chosen, scratch):
            tries.append({"kind": kind, "input": what, "outcome": fault or "right", "messages": messages[-600:]})
            if fault not in GOOD:
                print(f"{fault}: {kind}: {what}: {messages.strip()[-400:]}", flush=True)
    _report(tries)
    if chosen.output_path:
        chosen.output_path.write_text(json.dumps(tries, indent=1) + "\n")
    sys.exit(any(one["outcome"] not in GOOD for one in tries))


def _tries(chosen: argparse.Namespace, scratch: Path) -> Iterator[Line]:
    wanted = set(filter(None, chosen.only.split(","))) or {*KINDS, "kill", "together"}
    shares = sum(share for _, share in KINDS.values())
    for kind, (generate, share) in KINDS.items():
        if kind in wanted:
            draw = random.Random(f"{chosen.seed} {kind}")
            cases = list(generate(draw))
            count = min(len(cases), max(1, round(chosen.inputs * share / shares)))
            yield from _inputs(draw.sample(cases, count), scratch)
    if "kill" in wanted:
        yield from kill(scratch / "base", scratch, chosen.kills, random.Random(chosen.seed))
    if "together" in wanted:
        yield from together(scratch / "base", scratch, chosen.rounds, random.Random(chosen.seed))


def _inputs(cases: list[Case], scratch: Path) -> Iterator[Line]:
    sound: dict[tuple[str, ...], object] = {}
    for case in cases:
        folder = scratch / "spoiled"
        if case.expect == "same" and case.words not in sound:
            copy_workspace(scratch / "base", folder)
            run(case.words, scratch / "logs", cwd=folder)
            sound[case.words] = _made(folder)
            shutil.rmtree(folder)
        copy_workspace(scratch / "base", folder)
        in_child(lambda case=case, folder=folder: case.spoil(folder))
        done = (
            _run_elsewhere(case, folder)
            if case.env
            else run(case.words, scratch / "logs", cwd=folder, stdin=case.stdin)
        )
        outcome = done.fault or case.check(folder) or _outcome(case, done, folder, sound)
        yield case.kind, f"{case.name} ({' '.join(case.words)[:90]})", outcome, done.err
        shutil.rmtree(folder, ignore_errors=True)


def _outcome(case: Case, done: Ran, folder: Path, sound: dict[tuple[str, ...], object]) -> str:
    if done.code:
        return "refused"
    if case.expect == "refused":
        return "wrong: accepted"
    if case.expect == "same":
        return "right" if _made(folder) == sound[case.words] else "wrong number"
    return "accepted"


def _made(folder: Path) -> object:
    """What a command made: metrics of an evaluation, weights of a training."""
    weights = folder / "out/model.safetensors"
    return weights.read_bytes() if weights.exists() else metrics(folder / "out")


def _run_elsewhere(case: Case, folder: Path) -> Ran:
    """In a new process: some variables are read when libraries are imported."""
    env = {**os.environ, **{name: value for name, value in case.env.items() if value is not None}}
    for name, value in case.env.items():
        if value is None:
            env.pop(name, None)
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "clipbench", *case.words],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=2 * HANG_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ran(-9, "", "", time.monotonic() - began, hung=True)
    return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def _import_everything() -> None:
    """All that commands import, and nothing computed: threads do not survive a fork."""
    import importlib

    for name in (
        "torch",
        "torchvision",
        "transformers",
        "open_clip",
        "datasets",
        "accelerate",
        "pandas",
        "matplotlib.pyplot",
        "peft",
    ):
        importlib.import_module(name)
    for path in sorted((ROOT / "clipbench").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "__main__" not in parts:
            importlib.import_module(".".join(part for part in parts if part != "__init__"))
    from transformers import CLIPModel, CLIPTokenizerFast  # noqa: F401  # transformers imports late


def _report(tries: list[dict[str, str]]) -> None:
    from tabulate import tabulate

    outcomes = sorted({one["outcome"] for one in tries})
    counts = Counter((one["kind"], one["outcome"]) for one in tries)
    kinds = list(dict.fromkeys(one["kind"] for one in tries))
    rows = [[kind, *(counts[kind, outcome] or "" for outcome in outcomes)] for kind in kinds]
    rows.append(["all", *(sum(counts[kind, outcome] for kind in kinds) for outcome in outcomes)])
    print(tabulate(rows, ["", *outcomes]))


if __name__ == "__main__":
    main()
