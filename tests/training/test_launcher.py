"""`torchrun -m clipbench finetune`: the command line, on a machine without a GPU and without --device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.training.table import write_table

ROOT = Path(__file__).parents[2]


def test_two_processes_train_the_weights_of_one(start, tmp_path):
    """Equal to the bit: one process takes the batch in the same two parts, and a sum of two has one order."""
    captions = [f"a {'red' if number % 2 else 'large'} cat number {number}" for number in range(24)]
    table = write_table(tmp_path / "table", captions=captions)
    fields = {"data": table, "mix": {"general": 0.25}, "ema": 0.5}
    one = start(tmp_path / "one", micro_batch_size=4, max_steps=2, checkpoint_every=1.0, **fields)
    events = [event for event in one.run() if hasattr(event, "loss")]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*torchrun, "-m", "clipbench", "finetune",
               "--model", "demo", "--train_data", table, "--concept", "color", "--batch_size", 8,
               "--learning_rate", 1e-3, "--epochs", 1, "--max_steps", 2, "--checkpoint_every", 1,
               "--mix", "general=0.25", "--ema", 0.5,
               "--image_cache", tmp_path / "cache", "--output_path", tmp_path / "two"]  # fmt: skip
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, cwd=ROOT, check=False, timeout=300,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("model saved to") == 1
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(first[name].equal(second[name]) for name in first)
    assert json.loads((tmp_path / "two/finetune.json").read_text())["training"]["processes"] == 2
    log = [json.loads(line) for line in (tmp_path / "two/training_log.jsonl").read_text().splitlines()]
    assert [entry["loss"] for entry in log] == pytest.approx([event.loss for event in events], abs=1e-6)
    assert [{name: entry[name] for name in event.accuracies} for entry, event in zip(log, events, strict=True)] == [
        event.accuracies for event in events
    ]
    assert [entry["logit_scale_grad"] for entry in log] == pytest.approx([event.logit_scale_grad for event in events])


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"LOCAL_RANK": "abc"}, "LOCAL_RANK is 'abc'"),
        ({"LOCAL_RANK": "0"}, "LOCAL_RANK is 0, but WORLD_SIZE is not set"),
        ({"ACCELERATE_USE_CPU": "maybe"}, "accelerate cannot start in this environment: invalid truth value maybe"),
        ({"HF_HUB_DOWNLOAD_TIMEOUT": "abc"}, "HF_HUB_DOWNLOAD_TIMEOUT is 'abc': give a whole number"),
    ],
)
def test_an_odd_environment_is_named(table, tmp_path, environment, message):
    done = subprocess.run(
        [sys.executable, "-m", "clipbench", "finetune",
               "--model", "demo", "--train_data", str(table),
         "--concept", "color", "--output_path", str(tmp_path / "out")],
        capture_output=True, text=True, cwd=ROOT, check=False, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr
