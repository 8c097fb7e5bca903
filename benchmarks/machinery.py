"""What clipbench's machinery takes by itself: memory and samples a second, with a model that computes nothing.

    python benchmarks/machinery.py [--samples 10000,1000000] [--captions 5] [--journal] [--json FILE]

Scores generated samples (an image, its caption and one variant of it) in a process for each number of samples, and
prints each one's peak memory and its rate. A run of a million samples is to need no more than a twentieth more memory
than one of ten thousand.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from clipbench.data import Dataset
from clipbench.data.dataset import Provenance
from clipbench.evaluation.data_report import validate_task
from clipbench.evaluation.options import EvaluationOptions
from clipbench.evaluation.preparation import PreparedTask
from clipbench.evaluation.task_scoring import score_tasks
from clipbench.inference.journal import Journal
from clipbench.inference.scorer import Scorer
from clipbench.models import Model, ModelInfo, Tokens
from clipbench.task_types import RankingTask
from clipbench.types import ImageRef, Row
from clipbench.utils.memory import peak_resident_memory

sys.path.append(str(Path(__file__).parents[1]))
from benchmarks.figures import JSON_FLAG, Figure, write_figures

_NAMES = "abcdefghijklmnopqrst"
_PICTURE = Image.new("RGB", (8, 8))


class Rows:
    """Rows made as they are read."""

    provenance = Provenance("generated", "machinery", None, "machinery")

    def __init__(self, images: int, captions: int) -> None:
        self.images, self.captions = images, captions

    def rows(self, *, where: Any = None, keep: Any = None) -> Iterator[Row]:
        """Yield an image with its captions."""
        for index in range(self.images):
            texts = tuple(f"{_NAMES[k]} {index} left of it" for k in range(self.captions))
            yield Row(str(index), (ImageRef(f"{index}.jpg", lambda: _PICTURE),), texts)


class Machinery(RankingTask):
    """Left or right, of anything."""

    name = "machinery"
    concept = "location"
    dataset = Dataset("machinery", None)


class Stub(Model):
    """Features without a network: what an image or a text is does not matter."""

    id = "stub"
    device = torch.device("cpu")
    dtype = torch.float32
    fingerprint = "0" * 32
    info = ModelInfo(library="none")
    logit_scale = torch.tensor(1.0)
    module = torch.nn.Identity()

    def __init__(self, dim: int = 512) -> None:
        self._features = torch.randn(8192, dim, generator=torch.Generator().manual_seed(0))
        self._pixels = torch.zeros(3, 8, 8)

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """The same pixels always."""
        return self._pixels

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """As many tokens as a caption has."""
        return Tokens({"input_ids": torch.zeros(len(texts), 16)}, (False,) * len(texts))

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Some directions."""
        return self._features[: len(pixels)]

    def text_features(self, tokens: Tokens) -> torch.Tensor:
        """Some directions."""
        return self._features[: len(tokens.truncated)]

    def save(self, directory: Path) -> None:
        """There is nothing to save."""


def measure(samples: int, captions: int, journal: bool) -> dict[str, float]:
    """Score once in this process."""
    options = EvaluationOptions()
    task, source = Machinery(), Rows(samples // captions, captions)
    plan = PreparedTask(task, source, validate_task(task, source))
    with ExitStack() as stack:
        kept = None
        if journal:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            kept = Journal(folder, {"run": samples}, resume=False, on_note=print)
            stack.callback(kept.finish)
        scorer = stack.enter_context(Scorer(Stub(), journal=kept))
        gc.freeze()  # as `clipbench eval` does
        started, worked = time.perf_counter(), time.process_time()
        (result,) = score_tasks([plan], scorer, options)
        seconds, worked = time.perf_counter() - started, time.process_time() - worked
    assert result.error is None, result.error
    assert result.metrics["acc"].count == samples
    return {"seconds": seconds, "cpu": worked, "peak_mb": (peak_resident_memory() or 0) / 2**20}


def main() -> None:
    """Measure each number of samples in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", default="10000,1000000")
    parser.add_argument("--captions", type=int, default=5, help="samples an image")
    parser.add_argument("--journal", action="store_true", help="keep a journal, as runs with --output_path do")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", **JSON_FLAG)
    options = parser.parse_args()
    numbers = [int(number) for number in options.samples.split(",")]
    if options.one:
        print(json.dumps(measure(numbers[0], options.captions, options.journal)))
        return
    print("| samples | seconds | samples/s | samples/s of CPU time | peak memory | of the first |")
    print("|---|---|---|---|---|---|")
    figures: list[Figure] = []
    first = None
    for number in numbers:
        command = [sys.executable, __file__, "--one", "--samples", str(number), "--captions", str(options.captions)]
        command += ["--journal"] if options.journal else []
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        first = first or found["peak_mb"]
        print(
            f"| {number:,} | {found['seconds']:.1f} | {number / found['seconds']:,.0f}"
            f" | {number / found['cpu']:,.0f} | {found['peak_mb']:.0f} MB"
            f" | {found['peak_mb'] / first:.2f} |",
            flush=True,
        )
        figures.append(Figure(f"{number:,} samples", number / found["seconds"], "samples/s", "higher", 40_000))
        if len(figures) > 1:
            figures.append(Figure(f"memory, {number:,} ÷ {numbers[0]:,}", found["peak_mb"] / first, "×", target=1.05))
    write_figures(options.json, figures)


if __name__ == "__main__":
    main()
