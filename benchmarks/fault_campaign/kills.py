"""Commands that are killed at random moments, and gone on with: what comes of them is what an undisturbed run gives."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cases import copy_workspace
from running import Ran, run, start
from workspace import EVAL, FINETUNE

_REPEATS = 4


@dataclass(frozen=True)
class Operation:
    """A command that is killed.

    Attributes:
        name: What is killed.
        words: The command.
        outcome: What it has made, as one comparable value.
        share: Its share of all kills.
    """

    name: str
    words: tuple[str, ...]
    outcome: Callable[[Path], object]
    share: int


def _scores(folder: Path) -> object:
    """Metrics and sample lines, times and names of files aside.

    A run that was over when it was to be killed has its own files, beside the equal ones of the next run.
    """
    results = (folder / "out").rglob("results_*.json")
    samples = (folder / "out").rglob("samples_*.jsonl")
    found = {json.dumps(json.loads(path.read_text())["results"], sort_keys=True) for path in results}
    lines = {"\n".join(sorted(path.read_text().splitlines())) for path in samples}
    return sorted(found), sorted(lines)


def _weights(folder: Path) -> object:
    path = folder / "out/model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _board(folder: Path) -> object:
    data = json.loads((folder / "merged.json").read_text())
    return sorted(json.dumps(row, sort_keys=True) for row in data.get("entries", data.get("models", [])))


def _study(folder: Path) -> object:
    return {
        str(path.relative_to(folder)): json.loads(path.read_text())["results"]
        for path in sorted((folder / "out/scores").rglob("*.json"))
    }


def _cached(folder: Path) -> object:
    checked = run(("cache", "verify", "--cache_dir", "new-cache"), folder / "logs", cwd=folder)
    return _scores(folder), checked.code


OPERATIONS = (
    Operation("eval", (*EVAL, "-o", "out", "-s"), _scores, 50),
    Operation("cache", (*EVAL, "-o", "out", "-s", "--use_cache", "new-cache"), _cached, 40),
    Operation("finetune", (*FINETUNE, "-o", "out"), _weights, 40),
    Operation("leaderboard", ("leaderboard", "results", "-o", "merged.json"), _board, 40),
    Operation(
        "interpolate",
        ("interpolate", "demo", "run", "--tasks", "toy.yaml", "-o", "out", "--alpha", "0,0.5,1", "--device", "cpu"),
        lambda folder: _scores(folder)[0],
        20,
    ),  # type: ignore[index]
    Operation(
        "reproduce", ("reproduce", "small.yaml", "-o", "out", "--device", "cpu", "--image_cache", "pixels"), _study, 10
    ),
)


def kill(base: Path, scratch: Path, total: int, draw: random.Random) -> Iterator[tuple[str, str, str | None, str]]:
    """Kill every operation at moments drawn from its undisturbed duration.

    Yields:
        The operation, what was done to it, the fault (None if there is none), and what it said.
    """
    shares = sum(operation.share for operation in OPERATIONS)
    for operation in OPERATIONS:
        seconds, expected = _undisturbed(operation, base, scratch)
        left = max(1, round(total * operation.share / shares))
        while left > 0:
            kills = min(left, draw.randint(1, _REPEATS))
            left -= kills
            folder = scratch / "killed"
            copy_workspace(base, folder)
            moments = [draw.uniform(0, seconds * 1.1) for _ in range(kills)]
            for moment in moments:
                started = start(operation.words, scratch / "logs", cwd=folder)
                time.sleep(moment)
                started.kill()
                started.wait()
            done = run(operation.words, scratch / "logs", cwd=folder, seconds=300)
            moments_text = ", ".join(f"{moment:.2f}" for moment in moments)
            yield operation.name, f"killed after {moments_text} s", _fault(operation, folder, done, expected), done.err
            shutil.rmtree(folder)


def _undisturbed(operation: Operation, base: Path, scratch: Path) -> tuple[float, object]:
    folder = scratch / "undisturbed"
    copy_workspace(base, folder)
    done = run(operation.words, scratch / "logs", cwd=folder, seconds=300)
    if done.code:
        raise SystemExit(f"{operation.name} fails undisturbed: {done.err}")
    outcome = operation.outcome(folder)
    shutil.rmtree(folder)
    return done.seconds, outcome


def _fault(operation: Operation, folder: Path, done: Ran, expected: object) -> str | None:
    if done.fault or done.code:
        return done.fault or "could not go on"
    try:
        outcome = operation.outcome(folder)
    except (OSError, ValueError) as error:
        return f"lost result: {error}"
    return None if outcome == expected else "wrong result"
