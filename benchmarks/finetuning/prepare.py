"""Makes what the trainers share: one seeded model in both formats, the pairs, and clipbench's decoded images."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))

from job import Job, run

from clipbench.concepts import load_concept
from clipbench.models import load_model
from clipbench.training.datasets import open_training_data
from clipbench.training.gathering import gather_pairs
from clipbench.training.image_cache.build import build_image_cache
from clipbench.training.pairs import TrainingPairs
from tests.seeded import build_clip


def _files(pairs: TrainingPairs, place: Path) -> dict[str, str]:
    """Files of the images, by key: for the trainers that know no data sets."""
    files = {path.name: str(path) for path in place.rglob("*.jpg")}
    return {image.key: files[Path(image.key).name] for image in pairs.images}


def work(job: Job) -> dict[str, Any]:
    """Write models, pairs and images; tells how many there are, and what decoding took."""
    folder = Path(job.folder)
    for library in ("transformers", "open_clip"):
        build_clip(folder / library, job.size, library=library)
    name, _, place = job.data.partition("=")
    pairs = gather_pairs(open_training_data(name, {name: place}), [load_concept(job.concept)], allow_missing=True)
    if pairs.negatives is None:
        raise ValueError("no hard negatives")
    negatives, _ = pairs.negatives.texts(np.arange(len(pairs)), pairs.negatives.draw(0, 0).picks)
    files = _files(pairs, Path(place))
    images = [files[pairs.images[number].key] for number in pairs.image_of]
    rows = list(zip(images, pairs.captions, negatives, strict=True))
    (folder / "pairs.json").write_text(json.dumps(rows), encoding="utf-8")
    model = load_model(str(folder / "transformers"), device="cpu", dtype="float32")
    started, cpu_started = time.perf_counter(), time.process_time()
    build_image_cache(
        model, pairs.images, pairs.provenance.fingerprint, folder / "cache" / "pixels", workers=job.workers
    )
    return {
        "pairs": len(pairs),
        "images": len(pairs.images),
        "decode_seconds": time.perf_counter() - started,
        "decode_cpu_seconds": time.process_time() - cpu_started,
    }


if __name__ == "__main__":
    run(work)
