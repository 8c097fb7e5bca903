"""How a fine-tuning is carried out: data, device, memory, caches, checkpoints, evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from clipbench.errors import ConfigError
from clipbench.utils.numbers import MOST_IN_A_BATCH, MOST_SAMPLES, MOST_WORKERS, check_limit, check_whole

_MOST = {
    "micro_batch_size": MOST_IN_A_BATCH,
    "workers": MOST_WORKERS,
    "limit": MOST_SAMPLES,
    "keep": MOST_SAMPLES,
}
STATES_KEPT = 2  # of checkpoints, to resume from: the newest, and one to fall back on


@dataclass(frozen=True)
class FinetuneOptions:
    """How a run is carried out.

    Attributes:
        data: Locations of named data sets, for training and evaluation: name to a local path or
            ``hub:owner/name[@revision][:split]``.
        model_args: Passed to ``clipbench.load_model``.
        device: The device; by default a GPU if available.
        micro_batch_size: Pairs encoded at once on each process, to save memory; None: the whole batch.
        workers: Threads that decode images.
        image_cache: Folder of decoded images and of features of frozen image encoders, shared by runs; None is
            ``$CLIPBENCH_CACHE`` or ``~/.cache/clipbench``. The path ``none`` keeps neither: images are decoded whenever
            a batch takes them.
        grad_checkpointing: Keep only the inputs of the towers' blocks and compute the rest again in the backward pass:
            less memory, more time.
        torch_compile: Compile both towers.
        fsdp: Divide weights, gradients and optimizer moments among the processes.
        allow_missing: Leave out captions with a missing or broken image instead of failing.
        limit: Number of captions to train on, from the first; None: all.
        keep: Number of newest checkpoints to keep, or ``all``. None keeps what resuming and the trade-off figure need:
            the two newest if each is scored on whole ``eval_tasks``, because scores are kept; otherwise all.
        eval_tasks: Tasks on which every checkpoint is scored; empty for none.
        eval_limit: Samples per task, or below 1 a share of them.
        report_to: Trackers of accelerate: ``tensorboard``, ``wandb``, …

    Raises:
        ConfigError: A value is invalid.
    """

    data: Mapping[str, str] = field(default_factory=dict)
    model_args: Mapping[str, object] = field(default_factory=dict)
    device: str | None = None
    micro_batch_size: int | None = None
    workers: int = 2
    image_cache: Path | None = None
    grad_checkpointing: bool = False
    torch_compile: bool = False
    fsdp: bool = False
    allow_missing: bool = False
    limit: int | None = None
    keep: int | Literal["all"] | None = None
    eval_tasks: str = ""
    eval_limit: int | float | None = None
    report_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            if (value := getattr(self, name)) is not None and (name, value) != ("keep", "all"):
                check_whole(name, value, 1, most)
        if self.eval_limit is not None:
            check_limit("eval_limit", self.eval_limit)
        if self.fsdp and self.torch_compile:
            raise ConfigError("fsdp with torch_compile: not supported; leave one of them out")

    @property
    def checkpoints_kept(self) -> int | None:
        """How many of the newest checkpoints are kept; None: all."""
        if self.keep is None:
            return STATES_KEPT if self.eval_tasks and self.eval_limit is None else None
        return None if self.keep == "all" else self.keep

    @property
    def keeps_images(self) -> bool:
        """Whether decoded images are kept."""
        return str(self.image_cache) != "none"

    @property
    def cache_folder(self) -> Path:
        """The folder of what runs share: decoded images, and features of frozen image encoders."""
        place = (
            (self.image_cache if self.keeps_images else None)
            or os.environ.get("CLIPBENCH_CACHE")
            or "~/.cache/clipbench"
        )
        return Path(place).expanduser()

    @property
    def image_cache_folder(self) -> Path:
        """The folder of decoded images."""
        return self.cache_folder / "pixels"
