"""A run of the benchmarks as one JSON file: the machine, and what came of each benchmark."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.figures import Figure

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Outcome:
    """What came of one benchmark.

    Attributes:
        status: ``measured``, ``skipped`` (something it needs is not there) or ``failed``.
        reason: Why it was skipped or failed.
        command: How to run it by itself; folders are called ``COCO_FOLDER`` and so on.
        commit: Of the checkout that was measured.
        started: When, in UTC.
        seconds: How long the whole script took.
        figures: What it measured.
    """

    status: Literal["measured", "skipped", "failed"]
    reason: str | None = None
    command: str | None = None
    commit: str | None = None
    started: str | None = None
    seconds: float | None = None
    figures: tuple[Figure, ...] = ()


@dataclass
class Report:
    """Machine, versions, and outcomes by the benchmark's name."""

    date: str
    machine: dict[str, Any]
    software: dict[str, Any]
    benchmarks: dict[str, Outcome] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it whole or not at all: a run that is interrupted keeps what is done."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, path)


def read_report(path: Path) -> Report:
    """Read what `Report.write` wrote."""
    content = json.loads(path.read_text(encoding="utf-8"))
    outcomes = {
        name: Outcome(**{**outcome, "figures": tuple(Figure(**figure) for figure in outcome["figures"])})
        for name, outcome in content.pop("benchmarks").items()
    }
    return Report(**content, benchmarks=outcomes)


def default_path(date: str, machine: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Where a run is stored: one file a day and machine."""
    processor = machine["gpu"] or machine["cpu"]
    slug = re.sub(r"[^a-z0-9]+", "-", processor.lower()).strip("-")
    return folder / f"{date[:10]}-{slug}-{machine['cores']}-cores.json"


def newest(machine: dict[str, Any], without: Path, folder: Path = RESULTS) -> Path | None:
    """The last stored run on this model of processor, other than the one at ``without``."""
    found = [
        (report.date, path)
        for path in folder.glob("*.json")
        if path.resolve() != without.resolve() and (report := read_report(path)).machine["cpu"] == machine["cpu"]
    ]
    return max(found)[1] if found else None
