"""How a run is done: the options that the command line, Python callers and training share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clipbench.errors import ConfigError
from clipbench.utils.numbers import MOST_IN_A_BATCH, MOST_WORKERS, check_limit, check_whole

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is done, and how much there is in all if that is known.

The first call for a name may come before anything is known, with 0 and None. The first one with a total says where the
work starts, which is not 0 where it is resumed.
"""


def ignore_progress(name: str, done: int, total: int | None) -> None:
    """The ``Progress`` of a run that is not displayed."""


OnEncoded = Callable[[int, int], None]
"""Called with the images and the texts that were encoded so far."""


def ignore_encoded(images: int, texts: int) -> None:
    """The ``OnEncoded`` of a run that is not displayed."""


@dataclass(frozen=True)
class EvaluationOptions:
    """How a run is done; stored with its results.

    Attributes:
        data: Dataset name to a local path or ``hub:owner/name[@revision][:split]``.
        batch_size: Items per encoder call, or ``auto``.
        limit: Score at most this many samples per task; below 1, this share of each task's samples, rounded up.
        allow_missing: Score what is available where data is incomplete, and report it in the results.
        streaming: Stream hub data instead of downloading it.
        workers: Threads that decode images ahead.
        seed: Set before each task, for plug-ins that sample; built-in tasks are deterministic.
        include_path: Files or folders with further tasks.
        text_template: Template for texts before they are encoded, with ``{}`` for the text. It is not applied to the
            prompts of a classification task, which have templates of their own.
        lowercase: Lower-case texts before they are encoded.
        use_cache: Folder of the embedding cache; None for none. Results are the same with and without.

    Raises:
        ConfigError: A value is invalid.
    """

    data: Mapping[str, str] = field(default_factory=dict)
    batch_size: int | str = "auto"
    limit: int | float | None = None
    allow_missing: bool = False
    streaming: bool = False
    workers: int = 2
    seed: int = 0
    include_path: tuple[str | Path, ...] = ()
    use_cache: str | Path | None = None
    text_template: str = "{}"
    lowercase: bool = False

    def __post_init__(self) -> None:
        if self.batch_size != "auto":
            check_whole("batch_size", self.batch_size, 1, MOST_IN_A_BATCH)
        if self.limit is not None:
            check_limit("limit", self.limit)
        if "{}" not in self.text_template:
            raise ConfigError(f"text_template {self.text_template!r}: has no {{}} for the text")
        check_whole("workers", self.workers, 1, MOST_WORKERS)
        check_whole("seed", self.seed, 0, 2**32 - 1)  # numpy's range
        if self.use_cache is not None and Path(self.use_cache).exists() and not Path(self.use_cache).is_dir():
            raise ConfigError(f"use_cache {self.use_cache}: is a file: give a folder")

    def prompt(self, text: str) -> str:
        """A text as it is encoded.

        Examples:
            >>> EvaluationOptions(text_template="a photo of {}", lowercase=True).prompt("A Cat")
            'a photo of a cat'
        """
        filled = self.text_template.replace("{}", text)
        return filled.lower() if self.lowercase else filled
