"""Commands that run at the same time and write to the same place: each finishes or is refused, and nothing is lost."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from cases import copy_workspace
from kills import OPERATIONS, Operation
from running import start


def together(base: Path, scratch: Path, rounds: int, draw: random.Random) -> Iterator[tuple[str, str, str | None, str]]:
    """Run two of every operation at once, and eight boards.

    Yields:
        The operation, how far apart they were started, the fault (None if there is none), and what they said.
    """
    for operation in OPERATIONS:
        if operation.name == "leaderboard":
            continue
        folder = scratch / "alone"
        copy_workspace(base, folder)
        start(operation.words, scratch / "logs", cwd=folder).wait(300)
        expected = operation.outcome(folder)
        shutil.rmtree(folder)
        for _ in range(rounds if operation.name != "reproduce" else 1):
            apart = draw.uniform(0, 1)
            yield _pair(operation, base, scratch, apart, expected)
    for _ in range(rounds):
        yield _boards(base, scratch)


def _pair(
    operation: Operation, base: Path, scratch: Path, apart: float, expected: object
) -> tuple[str, str, str | None, str]:
    folder = scratch / "shared"
    copy_workspace(base, folder)
    first = start(operation.words, scratch / "first", cwd=folder)
    time.sleep(apart)
    second = start(operation.words, scratch / "second", cwd=folder)
    ended = [first.wait(300), second.wait(300)]
    messages = " | ".join(ran.err[-300:] for ran in ended)
    faults = [ran.fault for ran in ended if ran.fault]
    fault = faults[0] if faults else None
    if not fault and all(ran.code for ran in ended):
        fault = "neither finished"
    if not fault:
        outcome = operation.outcome(folder)
        same = outcome == expected
        fault = None if same else "wrong result"
    shutil.rmtree(folder)
    return f"2 × {operation.name}", f"{apart:.2f} s apart", fault, messages


def _boards(base: Path, scratch: Path) -> tuple[str, str, str | None, str]:
    folder = scratch / "shared"
    copy_workspace(base, folder)
    source = next((folder / "results/demo").glob("results_*.json"))
    for number in range(8):
        made = folder / f"one/{number}/{source.name}"
        made.parent.mkdir(parents=True)
        data = json.loads(source.read_text())
        text = json.dumps(data).replace(json.dumps(data["model_name"]), json.dumps(f"model-{number}"))
        made.write_text(text)
    started = [
        start(("leaderboard", f"one/{number}", "-o", "shared.json"), scratch / f"board-{number}", cwd=folder)
        for number in range(8)
    ]
    ended = [one.wait() for one in started]
    faults = [ran.fault or "refused" for ran in ended if ran.fault or ran.code]
    text = (folder / "shared.json").read_text() if (folder / "shared.json").exists() else ""
    there = sum(f"model-{number}" in text for number in range(8))
    fault = faults[0] if faults else None if there == 8 else f"lost result: {there} of 8"
    shutil.rmtree(folder)
    return "8 × leaderboard", "at once", fault, " | ".join(ran.err[-200:] for ran in ended)
