"""Weights divided between two processes on a CPU: the gradients and weights of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clipbench.errors import ConfigError

ROOT = Path(__file__).parents[2]


def train(table, tmp_path, out, *flags, model="demo", checkpoint_every=1):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*torchrun, "-m", "clipbench", "finetune",
               "--model", model, "--train_data", table, "--concept", "color", "--batch_size", 8,
               "--learning_rate", 1e-3, "--epochs", 1, "--checkpoint_every", checkpoint_every,
               "--image_cache", tmp_path / "cache",
               "--output_path", out, *flags]  # fmt: skip
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, cwd=ROOT, check=False, timeout=300,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("tiny-clip", {}),
        ("tiny-open-clip", {"max_grad_norm": 0.1, "ema": 0.5}),
        ("tiny-clip", {"micro_batch_size": 2, "freeze": ("image", "image_projection"), "grad_checkpointing": True}),
    ],
)
def test_two_processes_train_the_weights_of_one(start, table, tmp_path, tiny_clip, tiny_open_clip, model, fields):
    source = tiny_clip if model == "tiny-clip" else tiny_open_clip
    one = start(tmp_path / "one", model=source, max_steps=3, **{"micro_batch_size": 4, **fields})
    losses = [event.loss for event in one.run() if hasattr(event, "loss")]
    flags = []
    for name, value in {"max_steps": 3, **fields}.items():
        shown = ",".join(value) if isinstance(value, tuple) else value
        flags += [f"--{name}"] if value is True else [f"--{name}", shown]
    done = train(table, tmp_path, tmp_path / "two", "--fsdp", *flags, model=source)
    assert done.returncode == 0, done.stderr
    name = "open_clip_model.safetensors" if model == "tiny-open-clip" else "model.safetensors"
    first, second = (load_file(tmp_path / run / name) for run in ("one", "two"))
    before = load_file(Path(source) / name)
    assert any(not first[key].equal(before[key]) for key in first)
    # All weights together: AdamW moves a weight by the rate even if its gradient is rounding noise (a key's bias).
    moved = torch.cat([(first[key] - before[key]).flatten() for key in first])
    differs = torch.cat([(second[key] - first[key]).flatten() for key in first])
    assert differs.norm() < 1e-2 * moved.norm()
    log = [json.loads(line) for line in (tmp_path / "two/training_log.jsonl").read_text().splitlines()]
    assert [entry["loss"] for entry in log] == pytest.approx(losses, abs=1e-5)


def test_a_resumed_run_ends_with_the_same_weights(table, tmp_path, tiny_clip):
    def run():
        return train(
            table, tmp_path, tmp_path / "run", "--fsdp", "--max_steps", 4, model=tiny_clip, checkpoint_every=0.1
        )

    assert run().returncode == 0
    whole = load_file(tmp_path / "run/model.safetensors")
    for checkpoint in sorted((tmp_path / "run").glob("checkpoint-*"))[3:]:
        (checkpoint / "training.json").unlink()
    (tmp_path / "run/model.safetensors").unlink()
    done = run()
    assert done.returncode == 0, done.stderr
    assert "resuming from step 3 of 4" in done.stderr
    resumed = load_file(tmp_path / "run/model.safetensors")
    assert all(whole[name].equal(resumed[name]) for name in whole)


@pytest.mark.parametrize("field", [{"lora_rank": 2}, {"select": "scenes_location"}])
def test_what_cannot_be_sharded_is_refused(start, tmp_path, field):
    with pytest.raises(ConfigError, match=rf"fsdp with {next(iter(field))}: not supported"):
        start(tmp_path / "run", fsdp=True, **field)


def test_one_process_is_refused(start, tmp_path):
    with pytest.raises(ConfigError, match="fsdp: weights are divided among processes; start several"):
        start(tmp_path / "run", fsdp=True)
