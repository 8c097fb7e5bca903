"""Memory and gradients of one training step: plain, with gradient checkpointing, compiled, and sharded (FSDP2).

    python benchmarks/training_memory.py [--size vit-l-14] [--batch_size 8] [--ways plain,checkpointing,compile,fsdp]

Every way runs in a process of its own (FSDP in two), on the same seeded weights and scenes, and encodes half of the
batch at a time, so that sums are taken in the same order. Printed for each: the peak
memory of a step, from the first batch to AdamW's update (of a process; on a CPU the resident set, on a GPU torch's
allocator), and how far all gradients together differ from those of `plain`, relative to their norm.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.figures import JSON_FLAG, Figure, write_figures
from clipbench.training.events import peak_memory
from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import Recipe
from clipbench.training.sharding import gathered
from clipbench.training.trainer import FineTuning
from tests.seeded import SIZES, build_clip

WAYS = {"plain": {}, "checkpointing": {"grad_checkpointing": True}, "compile": {"torch_compile": True},
        "fsdp": {"fsdp": True}}  # fmt: skip


def step(model: Path, way: str, batch_size: int, out: Path) -> None:
    """Take one step and write its gradients; print the peak memory in bytes."""
    halves = {"limit": max(64, batch_size), "micro_batch_size": batch_size // 2}
    options = FinetuneOptions(image_cache=out / "cache", **halves, **WAYS[way])
    recipe = Recipe(("color",), batch_size=batch_size, max_steps=1, precision="fp32")
    run = FineTuning.prepare(str(model), "scenes=100", recipe, options, out / way)
    run.trained.module.train()
    run.gradient_cache().backward(run.setup.batches.make(0))
    grads = {name: weight.grad for name, weight in run.trained.module.named_parameters() if weight.grad is not None}
    whole = {name: gathered(grad).cpu().contiguous().clone() for name, grad in grads.items()}
    if run.is_main:
        save_file(whole, out / f"{way}.safetensors")
    del whole
    run.optimizer.step(1e-5)
    print(f"peak {peak_memory(run.setup.model.device)}")


def difference(one: Path, other: Path) -> float:
    """The norm of the difference of two sets of gradients, relative to the norm of the first."""
    first, second = load_file(one), load_file(other)
    apart = torch.stack([(first[name].double() - second[name].double()).norm() for name in first]).norm()
    return float(apart / torch.stack([grad.double().norm() for grad in first.values()]).norm())


def main() -> None:
    """Read the command line; run each way, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="vit-l-14")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", **JSON_FLAG)
    arguments = parser.parse_args()
    if arguments.way:
        step(arguments.folder / "model", arguments.way, arguments.batch_size, arguments.folder)
        return
    figures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_clip(folder / "model", arguments.size)
        for way in arguments.ways.split(","):
            launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"] if way == "fsdp" else []
            command = [sys.executable, *launcher, __file__, "--folder", name, "--way", way]
            done = subprocess.run(
                [*command, "--batch_size", str(arguments.batch_size)], capture_output=True, text=True, check=False,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
            )  # fmt: skip
            if done.returncode:
                sys.exit(f"{way}: {done.stderr[-2000:]}")
            peaks = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("peak ")]
            apart = difference(folder / "plain.safetensors", folder / f"{way}.safetensors")
            print(f"{way:14} {max(peaks) / 2**30:6.2f} GiB   gradients apart {apart:.1e}", flush=True)
            figures.append(Figure(f"{way}, peak memory", max(peaks) / 2**30, "GiB"))
    write_figures(arguments.json, figures)


if __name__ == "__main__":
    main()
