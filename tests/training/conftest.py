from __future__ import annotations

import pytest

from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import Recipe
from clipbench.training.trainer import FineTuning
from tests.seeded import build_clip
from tests.training.table import write_table


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="session")
def tiny_open_clip(tmp_path_factory):
    return build_clip(tmp_path_factory.mktemp("models") / "tiny-open-clip", "tiny", seed=0, library="open_clip")


@pytest.fixture(scope="session")
def start(table, tmp_path_factory):
    """Make a run ready: ``start(folder, negatives=2, …)``; fields of options and recipe, by name.

    From the demo model: its vocabulary is small, so that a checkpoint is written in no time.
    """
    cache = tmp_path_factory.mktemp("cache")

    def start(folder, model="demo", data=table, **fields):
        how = {name: fields.pop(name) for name in list(fields) if name in FinetuneOptions.__dataclass_fields__}
        recipe = {"concepts": ("color",), "batch_size": 8, "learning_rate": 1e-3, "epochs": 1, **fields}
        notes = []
        run = FineTuning.prepare(
            str(model),
            str(data),
            Recipe(**recipe),
            FinetuneOptions(**{"device": "cpu", "image_cache": cache, **how}),
            folder,
            notes.append,
        )
        run.notes = notes
        return run

    return start
