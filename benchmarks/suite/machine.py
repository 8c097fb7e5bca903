"""What a figure depends on besides the code: processor, memory, GPU, system, versions."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from clipbench.evaluation.assembly import git_hash

_PACKAGES = ("clipbench", "torch", "transformers", "open_clip_torch", "datasets", "numpy", "pillow")


def machine_facts() -> dict[str, Any]:
    """The machine: what decides whether times of two runs can be compared."""
    import psutil
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "cpu": _cpu_model(),
        "cores": _usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "gpu": ", ".join(gpus) or None,
        "system": f"{platform.system()} {platform.machine()}",
    }


def software_facts() -> dict[str, str | None]:
    """Versions, and the commit; a ``+`` after it says that files were changed since."""
    versions = {name: metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **versions, "commit": _commit()}


def same_machine(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether times can be compared: one processor, as many cores and threads, one GPU."""
    return all(one.get(fact) == other.get(fact) for fact in ("cpu", "cores", "threads", "gpu"))


def _commit() -> str | None:
    commit = git_hash()
    if commit is None:
        return None
    root = Path(__file__).parents[2]
    changed = subprocess.run(["git", "-C", str(root), "diff", "--quiet", "HEAD"], check=False).returncode
    return f"{commit}+" if changed else commit


def _usable_cores() -> int:
    """Cores that this process may use: in a container, fewer than there are."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_model() -> str:
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        if "model name" in facts:  # an ARM kernel tells none
            # A virtual machine may hide which one it is: the name alone is then that of very different processors.
            return f"{facts['model name']} (family {facts.get('cpu family')}, model {facts.get('model')})"
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()
