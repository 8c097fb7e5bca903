"""How a study is done, beside what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class StudyOptions:
    """How a study is done.

    Attributes:
        data: Name of a data set to where it lies, for the training and for the tasks.
        device: Where it is done; by default a GPU where there is one.
        launcher: Put before each training's command, to use several processes: ``torchrun --nproc_per_node 4``.
        image_cache: Folder of decoded images.
        workers: Threads that decode images.
        allow_missing: Train on and score what is there where images are missing.
        tables: Ids of tables that are wanted; None: all, and the figure.
    """

    data: Mapping[str, str] = field(default_factory=dict)
    device: str | None = None
    launcher: str = ""
    image_cache: Path | None = None
    workers: int = 2
    allow_missing: bool = False
    tables: frozenset[str] | None = None
