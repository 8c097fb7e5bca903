"""Reading training batches from tars: clipbench without an image cache, and open_clip's own loader, side by side.

    pip install "open_clip_torch[training]"
    python benchmarks/tars.py PHOTOGRAPHS [--samples 100000] [--workers 2] [--rounds 2] [--tars FOLDER]

PHOTOGRAPHS is a folder of JPEG files, which are repeated until there are enough samples; they are written to tars of
2,500 once, into --tars. Both loaders preprocess for the same model, ViT-B-32 of open_clip with its evaluation
transform, tokenize, and give batches of 128; open_clip with as many loader processes as clipbench has threads. Each
runs in a process of its own, in turn, round after round; the first batches are not timed. Memory is the largest
resident set of the process (open_clip: plus that of its loader processes), at the end of the first tenth and in all:
it should not grow. clipbench reads all tars once before, to index them; that time is printed by itself.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.figures import JSON_FLAG, Figure, write_figures

BATCH, PER_TAR, WARM = 128, 2_500, 5
COLORS = ("blue", "red", "green", "yellow", "black", "white", "brown", "gray", "orange")


def write_tars(photographs: Path, folder: Path, samples: int) -> None:
    """Write the tars, unless they are there."""
    files = sorted(photographs.glob("*.jpg"))
    if not files:
        sys.exit(f"{photographs}: no .jpg files")
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, samples, PER_TAR):
        path = folder / f"{start // PER_TAR:05d}.tar"
        if path.exists():
            continue
        part = path.with_suffix(".part")
        with tarfile.open(part, "w") as tar:
            for number in range(start, min(start + PER_TAR, samples)):
                caption = f"a {COLORS[number % len(COLORS)]} thing, number {number}"
                for suffix, content in (("jpg", files[number % len(files)].read_bytes()), ("txt", caption.encode())):
                    info = tarfile.TarInfo(f"{number:09d}.{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        part.rename(path)


def pattern(folder: Path, samples: int) -> str:
    """The tars' names as both loaders take them."""
    return f"{folder}/{{00000..{(samples - 1) // PER_TAR:05d}}}.tar"


def clipbench_batches(tars: str, samples: int, workers: int, notes: dict[str, float]) -> Iterator[int]:
    """Batches as a fine-tuning without hard negatives takes them."""
    import open_clip

    from clipbench.concepts import load_concept
    from clipbench.data import Dataset, open_source
    from clipbench.models import load_model
    from clipbench.training.batches import Batches, ProcessShard
    from clipbench.training.gathering import gather_pairs
    from clipbench.training.image_cache.streamed import stream_images
    from clipbench.training.image_inputs import Pixels
    from clipbench.training.recipe import Recipe

    start = time.perf_counter()
    source = open_source(Dataset("tars", None), tars)
    pairs = gather_pairs(source, [load_concept("color")], k=0)
    notes["index_seconds"] = time.perf_counter() - start
    network, _, transform = open_clip.create_model_and_transforms("ViT-B-32")
    model = load_model((network, transform, open_clip.get_tokenizer("ViT-B-32")), device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        images = stream_images(
            model, pairs.images, pairs.provenance.fingerprint, Path(folder), workers=workers, check=False
        )
        recipe = Recipe(("color",), negatives=0, batch_size=BATCH, epochs=1, precision="fp32", same_image="keep")
        for batch in Batches(model, pairs, Pixels(images, model.device), recipe, ProcessShard()).from_step(0):
            yield len(batch.ids)


def open_clip_batches(tars: str, samples: int, workers: int, notes: dict[str, float]) -> Iterator[int]:
    """Batches of open_clip's trainer."""
    import open_clip
    import open_clip_train.data
    from open_clip_train.data import get_wds_dataset

    expand = open_clip_train.data.tar_file_expander
    # webdataset 1 marks the ends of tars, which open_clip 3.3 does not know.
    open_clip_train.data.tar_file_expander = lambda *args, **options: expand(*args, eof_value=None, **options)

    _, _, transform = open_clip.create_model_and_transforms("ViT-B-32")
    args = argparse.Namespace(
        train_data=tars, train_num_samples=samples, train_data_upsampling_factors=None, dataset_resampled=False,
        seed=0, batch_size=BATCH, workers=workers, world_size=1,
    )  # fmt: skip
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    for images, _ in get_wds_dataset(args, transform, is_train=True, tokenizer=tokenizer).dataloader:
        yield len(images)


LOADERS = {"clipbench": clipbench_batches, "open_clip": open_clip_batches}


def resident_bytes() -> int:
    """Bytes in memory of this process and its children, shared pages counted in each."""
    own, total = os.getpid(), 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except OSError:  # it has ended
            continue
        if str(own) in (lines["Pid"].strip(), lines["PPid"].strip()):
            total += int(lines.get("VmRSS", "0 kB").split()[0]) * 1024
    return total


def measure(loader: str, tars: str, samples: int, workers: int) -> dict[str, float]:
    """Read an epoch in this process."""
    notes: dict[str, float] = {}
    seen, began, early, most = 0, 0.0, 0, 0
    for number, count in enumerate(LOADERS[loader](tars, samples, workers, notes)):
        if number == WARM:
            began, seen = time.perf_counter(), 0
        seen += count
        if number % 20 == 0:
            most = max(most, resident_bytes())
            early = most if number * BATCH <= max(samples // 10, WARM * BATCH) else early
    seconds = time.perf_counter() - began
    return {
        **notes,
        "samples_per_second": seen / seconds,
        "early_megabytes": early / 1e6,
        "megabytes": most / 1e6,
    }


def main() -> None:
    """Write the tars, run both loaders in turn, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tars", type=Path, default=Path(tempfile.gettempdir()) / "clipbench-tars")
    parser.add_argument("--only", choices=LOADERS, help=argparse.SUPPRESS)
    parser.add_argument("--json", **JSON_FLAG)
    options = parser.parse_args()
    tars = pattern(options.tars, options.samples)
    if options.only:
        print(json.dumps(measure(options.only, tars, options.samples, options.workers)))
        return
    write_tars(options.photographs, options.tars, options.samples)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in LOADERS}
    for _ in range(options.rounds):
        for name, done in runs.items():
            command = [sys.executable, __file__, str(options.photographs), "--only", name]
            command += ["--samples", str(options.samples), "--workers", str(options.workers)]
            command += ["--tars", str(options.tars)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
            ended = subprocess.run(command, env=environment, capture_output=True, text=True)
            if ended.returncode:
                sys.exit(f"{name} failed:\n{ended.stderr[-4000:]}")
            done.append(json.loads(ended.stdout.splitlines()[-1]))
            print(name, {key: round(value, 2) for key, value in done[-1].items()}, file=sys.stderr)
    speed = {name: statistics.median(run["samples_per_second"] for run in done) for name, done in runs.items()}
    figures = []
    for name, done in runs.items():
        early, most = (statistics.median(run[key] for run in done) for key in ("early_megabytes", "megabytes"))
        print(f"{name:10} {speed[name]:8.1f} samples/s   {early:7.0f} MB after a tenth, {most:7.0f} MB at most")
        figures += [Figure(name, speed[name], "samples/s", "higher"), Figure(f"{name}, memory at most", most, "MB")]
    ratio = speed["clipbench"] / speed["open_clip"]
    print(f"ratio      {ratio:8.2f}")
    write_figures(options.json, [*figures, Figure("clipbench ÷ open_clip", ratio, "×", "higher")])


if __name__ == "__main__":
    main()
