"""Runs benchmarks in turn, each in a process of its own, and keeps what each one found before the next begins."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.figures import read_figures
from benchmarks.suite.catalog import Benchmark
from benchmarks.suite.report import Outcome, Report

SCRIPTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Settings:
    """How benchmarks are run.

    Attributes:
        data: Folders by the data's name.
        rounds: Instead of each benchmark's own number.
        resume: Leave out what the report has as measured.
        tiny: Tiny sizes, which need no GPU, to see that it works.
        scripts: The folder of the scripts.
    """

    data: Mapping[str, str]
    rounds: int | None = None
    resume: bool = False
    tiny: bool = False
    scripts: Path = SCRIPTS


def run_benchmarks(
    benchmarks: Sequence[Benchmark], report: Report, path: Path, settings: Settings, say: Callable[[str], None]
) -> None:
    """Run them; the report is written after each. One that fails does not stop the others."""
    began = time.perf_counter()
    for number, benchmark in enumerate(benchmarks, start=1):
        place = f"[{number}/{len(benchmarks)}]"
        known = report.benchmarks.get(benchmark.name)
        known = known if known is not None and known.status == "measured" else None
        if settings.resume and known is not None:
            say(f"{place} {benchmark.name}: measured before, {known.started}")
            continue
        if reason := _why_not(benchmark, report, settings):
            outcome = known or Outcome("skipped", reason)  # what was measured before stays
            say(f"{place} {benchmark.name}: skipped: {reason}")
        else:
            say(f"{place} {_now():%H:%M:%S} {benchmark.name}: {benchmark.shown(settings.rounds, tiny=settings.tiny)}")
            outcome = replace(_run(benchmark, settings, say), commit=report.software["commit"])
            for line in _told(outcome):
                say(f"{place} {benchmark.name}: {line}")
        report.benchmarks[benchmark.name] = outcome
        report.write(path)
    say(f"{time.perf_counter() - began:.0f} s in all, {path}")


def _why_not(benchmark: Benchmark, report: Report, settings: Settings) -> str | None:
    if settings.tiny:
        return None if benchmark.tiny else "it has no tiny size"
    return benchmark.missing(settings.data, has_gpu=report.machine["gpu"] is not None)


def _run(benchmark: Benchmark, settings: Settings, say: Callable[[str], None]) -> Outcome:
    """Run one script; what it prints is passed on."""
    started, clock = _now(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "figures.json"
        script, *arguments = benchmark.words(settings.data, settings.rounds, tiny=settings.tiny)
        command = [sys.executable, str(settings.scripts / script), *arguments, "--json", str(found)]
        status, printed = _printing(command, say)
        outcome = Outcome(
            "measured",
            command=benchmark.shown(settings.rounds, tiny=settings.tiny),
            started=f"{started:%Y-%m-%dT%H:%M:%SZ}",
            seconds=round(time.perf_counter() - clock, 1),
        )
        if status:
            return replace(outcome, status="failed", reason=f"exit status {status}: {printed}")
        if not found.exists():
            return replace(outcome, status="failed", reason="it wrote no figures")
        return replace(outcome, figures=tuple(read_figures(found)))


def _printing(command: Sequence[str], say: Callable[[str], None]) -> tuple[int, str]:
    """Run a command, pass its lines on as they come; returns its exit status and its last line."""
    root = str(SCRIPTS.parent)  # the scripts, and what they start, measure this checkout
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    last: deque[str] = deque([""], maxlen=1)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                last.append(line.strip())
            say(f"    {line.rstrip()}")
    return process.returncode, last[0]


def _told(outcome: Outcome) -> list[str]:
    if outcome.status != "measured":
        return [f"{outcome.status}: {outcome.reason}"]
    marks = {None: "", True: "  met", False: "  NOT met"}
    lines = [f"{outcome.seconds:.0f} s"]
    for figure in outcome.figures:
        sign = "≤" if figure.better == "lower" else "≥"
        target = "" if figure.target is None else f"  target {sign} {figure.target:g}{marks[figure.met]}"
        lines.append(f"{figure.name}: {figure.value:.4g} {figure.unit}{target}")
    return lines


def _now() -> datetime:
    return datetime.now(timezone.utc)
