"""What every trainer of `benchmarks/finetune.py` is told, and the clock that all of them are timed by."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from step_profile import StepProfile

from clipbench.utils.memory import peak_resident_memory


@dataclass(frozen=True)
class Job:
    """One short run of one trainer.

    Attributes:
        folder: Where `prepare.py` put models and pairs.
        data: ``NAME=PLACE``, as `clipbench finetune --data` takes it.
        concept: Whose captions are trained on.
        size: Of the seeded model.
        negatives: Hard negatives a caption, 0 or 1.
        batch_size: Pairs a step.
        warmup: Steps that are not timed.
        steps: Steps that are.
        threads: Of torch.
        workers: Processes or threads that decode.
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16``.
        learning_rate: AdamW's.
        weight_decay: AdamW's, on matrices only.
        profile: Whether the timed steps are profiled, which slows them down a little.
    """

    folder: str
    data: str
    concept: str
    size: str
    negatives: int
    batch_size: int
    warmup: int
    steps: int
    threads: int
    workers: int
    device: str
    precision: str
    learning_rate: float = 5e-6
    weight_decay: float = 0.1
    profile: bool = False

    def write(self, path: Path) -> Path:
        """Write it for a subprocess."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path


class Pair(NamedTuple):
    """An image file, its caption, and the caption with one keyword exchanged."""

    image: str
    caption: str
    negative: str


def read_pairs(job: Job) -> list[Pair]:
    """The pairs, repeated until one epoch holds more batches than are trained on and read ahead."""
    pairs = [Pair(*entry) for entry in json.loads((Path(job.folder) / "pairs.json").read_text(encoding="utf-8"))]
    needed = (job.warmup + job.steps + 2 * job.workers + 2) * job.batch_size
    return pairs * -(-needed // len(pairs))


class Clock:
    """Measures the steps after the warm-up, from the end of one step to the end of another.

    What is timed is a steady state: in a step's time a trainer reads one batch and trains on one.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._marks: dict[int, tuple[float, float]] = {}
        self._profile = StepProfile() if job.profile else None
        self._profiled: dict[str, float] = {}

    def tick(self, done: int) -> bool:
        """Note that so many steps are done; tells whether all are."""
        last = self._job.warmup + self._job.steps
        if done in (self._job.warmup, last):
            if self._job.device == "cuda":
                import torch

                torch.cuda.synchronize()
            self._marks[done] = (time.perf_counter(), _cpu_seconds())
            if self._profile and done == last:
                self._profiled = self._profile.stop(self._job.steps)
            elif self._profile:
                self._profile.start()
        return done >= last

    def result(self) -> dict[str, Any]:
        """Seconds and processor seconds (workers' included) a step, the training process's peak memory, the profile."""
        (start, cpu_start), (end, cpu_end) = self._marks.values()
        steps = self._job.steps
        return {
            "seconds": (end - start) / steps,
            "cpu_seconds": (cpu_end - cpu_start) / steps,
            "peak_memory": float(_peak_memory(self._job.device)),
            **({"profile": self._profiled} if self._profile else {}),
        }


def _cpu_seconds() -> float:
    import psutil

    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def _peak_memory(device: str) -> int:
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    return peak_resident_memory() or 0


def run(work: Callable[[Job], dict[str, Any]]) -> None:
    """Do the job of the file named first on the command line; write what came of it to the file named second."""
    import torch

    job = Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    Path(sys.argv[2]).write_text(json.dumps(work(job)), encoding="utf-8")
