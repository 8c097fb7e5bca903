"""How a study is carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clipbench.utils.numbers import MOST_WORKERS, check_whole


@dataclass(frozen=True)
class StudyOptions:
    """How a study is carried out.

    Raises:
        ConfigError: A value is invalid.

    Attributes:
        data: Name of a data set to its location, for training and for the tasks.
        device: Where it runs; by default a GPU if there is one.
        launcher: Prefix of each training's command, to use several processes: ``torchrun --nproc_per_node 4``.
        image_cache: Folder of decoded images.
        workers: Threads that decode images.
        allow_missing: Train and score even if images or rows are missing.
        tables: Ids of the tables that are wanted; None for all, and the figure.
    """

    data: Mapping[str, str] = field(default_factory=dict)
    device: str | None = None
    launcher: str = ""
    image_cache: Path | None = None
    workers: int = 2
    allow_missing: bool = False
    tables: frozenset[str] | None = None

    def __post_init__(self) -> None:
        check_whole("workers", self.workers, 1, MOST_WORKERS)
