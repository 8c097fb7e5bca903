"""clipbench's own trainer, as `clipbench finetune` runs it: from decoded images, timed by the events it yields."""

from __future__ import annotations

import tempfile
from pathlib import Path

from job import Clock, Job, run

from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import Recipe
from clipbench.training.trainer import FineTuning
from clipbench.utils.allocator import keep_freed_memory


def work(job: Job) -> dict[str, float]:
    """Train, and measure."""
    keep_freed_memory()  # as the command line does
    folder, clock = Path(job.folder), Clock(job)
    recipe = Recipe(
        concepts=(job.concept,),
        negatives=job.negatives,
        batch_size=job.batch_size,
        # A step is told of during the next one, so one more is begun than is timed.
        max_steps=job.warmup + job.steps + 1,
        checkpoint_every=1e6,
        learning_rate=job.learning_rate,
        weight_decay=job.weight_decay,
        precision=job.precision,  # type: ignore[arg-type]
    )
    name, _, place = job.data.partition("=")
    options = FinetuneOptions(
        data={name: place}, device=job.device, workers=job.workers, image_cache=folder / "cache", allow_missing=True
    )
    with tempfile.TemporaryDirectory() as output:
        events = FineTuning.prepare(str(folder / "transformers"), name, recipe, options, Path(output)).run()
        for event in events:
            if clock.tick(event.step):
                break
    return clock.result()


if __name__ == "__main__":
    run(work)
