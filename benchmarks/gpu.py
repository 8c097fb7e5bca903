"""What a GPU makes of it: ranking and fine-tuning with a ViT-B/32 in bfloat16. `python -m benchmarks gpu` runs both.

    python benchmarks/gpu.py --part ranking [--samples 100000] [--photographs FOLDER]
    python benchmarks/gpu.py --part finetune [--captions 20000] [--rounds 3]

`finetune` needs open_clip's trainer: pip install "open_clip_torch[training]". Weights are seeded and captions made up,
so no data is needed; photographs are drawn, or those of a folder, repeated.

`ranking`: a whole `evaluate` on captions with their 79 variants, reading and decoding included, against bare forwards
of batches of the same sizes through the same towers, and against open_clip's text tower in bfloat16 on texts padded to
77, tokenizing included, images not.

`finetune`: batches of 64 with one hard negative, clipbench and open_clip's trainer in turn, as benchmarks/finetune.py
has them; then an epoch with no, one, two and three negatives, from which the twelve trainings of the paper's Table 7
are estimated (scoring their checkpoints not included).

`--tiny` tries all that on whatever there is, in a minute: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any
from unittest import mock

import torch

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.figures import JSON_FLAG, Figure, write_figures
from benchmarks.generated_coco import CAPTIONS_AN_IMAGE, write_coco
from clipbench import evaluate
from clipbench.models import load_model, packing
from clipbench.reproduce.steps import recipe_of, runs_of
from clipbench.reproduce.study import load_study
from tests.seeded import build_clip

TEXTS_A_SAMPLE = 80
TASK = "name: generated_object\ntask_type: ranking\nconcept: object\ndataset: {path: coco}\n"
Times = dict[str, float]


@dataclass
class Forwards:
    """Which batches went through a model's towers: sizes in order, and one batch of each size."""

    model: Any
    images: list[int] = field(default_factory=list)
    rows: list[tuple[int, int]] = field(default_factory=list)
    pixels_of: dict[int, torch.Tensor] = field(default_factory=dict)
    rows_of: dict[tuple[int, int], Any] = field(default_factory=dict)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Note what the towers are given within."""
        encode_images, packed = self.model.image_features, self.model.packed_text

        def images(pixels: torch.Tensor) -> torch.Tensor:
            self.images.append(len(pixels))
            self.pixels_of.setdefault(len(pixels), pixels)
            return encode_images(pixels)  # type: ignore[no-any-return]

        def rows(batch: Any) -> torch.Tensor:
            size = (len(batch), max(len(row.ids) for row in batch))
            self.rows.append(size)
            self.rows_of.setdefault(size, batch)
            return encode_rows(batch)  # type: ignore[no-any-return]

        encode_rows = packed.features
        with mock.patch.object(self.model, "image_features", images), mock.patch.object(packed, "features", rows):
            yield

    @torch.inference_mode()
    def replay(self) -> float:
        """Seconds of the same batches through the towers, with nothing around them; batches lie on the device."""
        model = self.model
        ready = {id(rows): packing.collate(rows, model.device, model.dtype) for rows in self.rows_of.values()}
        pixels_of = {size: pixels.to(model.device, model.dtype) for size, pixels in self.pixels_of.items()}
        with mock.patch.object(packing, "collate", lambda rows, *_: ready[id(rows)]):
            started = _now(model.device)
            for count in self.images:
                model.image_features(pixels_of[count])
            for size in self.rows:
                model.packed_text.features(self.rows_of[size])
            return _now(model.device) - started


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def ranking(options: argparse.Namespace, folder: Path, device: str) -> list[Figure]:
    """Score, replay, and let the padded peer encode."""
    size, samples = ("tiny", 10) if options.tiny else ("vit-b-32", options.samples)
    write_coco(folder / "coco", samples // CAPTIONS_AN_IMAGE, options.photographs)
    (folder / "task.yaml").write_text(TASK)
    build_clip(folder / "model", size, library="open_clip")
    model = load_model(f"open_clip:{folder / 'model'}", device=device, dtype="bfloat16")
    settings: dict[str, Any] = {"workers": options.workers, "progress": not options.tiny}
    evaluate(model, str(folder / "task.yaml"), limit=5, **settings)  # warms up; hashes the weights
    forwards = Forwards(model)
    with forwards.recording():
        started = _now(model.device)
        results = evaluate(model, str(folder / "task.yaml"), **settings)
        seconds = _now(model.device) - started
    (report,) = results.tasks.values()
    if report.error or report.counts.effective != samples:
        sys.exit(f"{report.counts.effective} of {samples} samples were scored: {report.error}")
    forwards.replay()  # once to warm up
    bare = forwards.replay()
    rate = samples * TEXTS_A_SAMPLE / seconds
    peer = padded_texts_per_second(folder, device, 4 if options.tiny else 640)
    print(f"{samples:,} samples in {seconds:.1f} s, bare forwards {bare:.1f} s")
    return [
        Figure(f"{samples:,} samples", seconds, "s"),
        Figure("clipbench ÷ bare forwards", seconds / bare, "×", "lower", 1.2),
        Figure("clipbench", rate, "texts/s", "higher"),
        Figure("open_clip, padded to 77", peer, "texts/s", "higher"),
        Figure("clipbench ÷ open_clip, padded to 77", rate / peer, "×", "higher"),
    ]


@torch.inference_mode()
def padded_texts_per_second(folder: Path, device: str, samples: int) -> float:
    """What open_clip's own text tower does, in bfloat16 and batches of 64 samples' texts."""
    import open_clip

    from clipbench.concepts import load_concept

    place = f"local-dir:{folder / 'model'}"
    network = open_clip.create_model(place, precision="bf16", device=device).eval()
    tokenizer, concept = open_clip.get_tokenizer(place), load_concept("object")
    captions = [f"A large {name} on the grass in a park, {n}." for n in range(samples // 4)
                for name in ("dog", "car", "cup", "boat")]  # fmt: skip
    groups = [concept.variants(caption) or () for caption in captions]
    parts = [list(chain.from_iterable(groups[start : start + 64])) for start in range(0, samples, 64)]
    network.encode_text(tokenizer(parts[0]).to(device))
    started = _now(torch.device(device))
    features = [network.encode_text(tokenizer(texts).to(device)) for texts in parts]
    seconds = _now(torch.device(device)) - started
    return sum(map(len, features)) / seconds


def finetune(options: argparse.Namespace, folder: Path, device: str) -> list[Figure]:
    """Both trainers in turn, and an epoch for each number of negatives."""
    from benchmarks.finetune import Job, child

    tiny = options.tiny
    write_coco(folder / "coco", (100 if tiny else options.captions) // CAPTIONS_AN_IMAGE, options.photographs)
    job = Job(
        folder=str(folder), data=f"coco={folder / 'coco'}", concept="object", size="tiny" if tiny else "vit-b-32",
        negatives=1, batch_size=8 if tiny else 64, warmup=1 if tiny else 10, steps=2 if tiny else 100,
        threads=torch.get_num_threads(), workers=options.workers, device=device,
        precision="bf16" if device == "cuda" else "fp32",
    )  # fmt: skip
    made = child("prepare", job)
    runs: dict[str, list[Times]] = {"clipbench": [], "open_clip": []}
    for number in range(1 if tiny else options.rounds):
        for name, found in runs.items():
            found.append(child(f"{name}_trainer", job))
            print(f"round {number + 1}, {name}: {found[-1]}", flush=True)
    rates = {name: job.batch_size / _median(found, "seconds") for name, found in runs.items()}
    epochs = {}
    for negatives in range(4):
        steps = int(made["pairs"]) // job.batch_size - job.warmup
        epochs[negatives] = child("clipbench_trainer", replace(job, negatives=negatives, steps=steps))["seconds"]
        print(f"an epoch of {steps} steps, {negatives} negatives: {epochs[negatives] * 1e3:.1f} ms a step", flush=True)
    hours = table_7_hours({negatives: job.batch_size / seconds for negatives, seconds in epochs.items()})
    memory = {name: _median(found, "peak_memory") / 1e9 for name, found in runs.items()}
    return [
        Figure("one negative, clipbench", rates["clipbench"], "samples/s", "higher"),
        Figure("one negative, open_clip", rates["open_clip"], "samples/s", "higher"),
        Figure("one negative, clipbench ÷ open_clip", rates["clipbench"] / rates["open_clip"], "×", "higher", 2),
        Figure("one negative, peak memory, clipbench", memory["clipbench"], "GB", "lower", 12),
        Figure("one negative, peak memory, open_clip", memory["open_clip"], "GB"),
        Figure("Table 7, longest training, estimated", max(hours.values()), "h"),
        Figure(f"Table 7, {len(hours)} trainings, estimated", sum(hours.values()), "h"),
    ]


def table_7_hours(rates: dict[int, float]) -> dict[str, float]:
    """Hours of each of the paper's trainings, at so many captions a second for each number of negatives."""
    study = load_study("paper")
    captions = study.training.captions
    return {
        run.name: captions[run.concept] * recipe_of(study, run).epochs / rates[run.kind.negatives or 0] / 3600
        for run in runs_of(study)
        if not run.is_base
    }


def _median(runs: list[Times], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def main() -> None:
    """Read the command line, and run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("ranking", "finetune"), required=True)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--captions", type=int, default=20_000, help="of an epoch of fine-tuning")
    parser.add_argument("--photographs", type=Path, help="a folder of JPEG files; otherwise they are drawn")
    parser.add_argument("--workers", type=int, default=8, help="that decode")
    parser.add_argument("--rounds", type=int, default=3, help="of fine-tuning")
    parser.add_argument("--tiny", action="store_true", help="see that it works, without a GPU too")
    parser.add_argument("--json", **JSON_FLAG)
    options = parser.parse_args()
    if not torch.cuda.is_available() and not options.tiny:
        sys.exit("There is no GPU; --tiny tries it on the CPU.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        figures = {"ranking": ranking, "finetune": finetune}[options.part](options, Path(folder), device)
    for figure in figures:
        print(f"{figure.name}: {figure.value:.4g} {figure.unit}")
    write_figures(options.json, figures)


if __name__ == "__main__":
    main()
