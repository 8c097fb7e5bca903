"""What is mined, from where, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from clipbench.concepts import Concept, load_concept
from clipbench.errors import ConfigError
from clipbench.utils.digest import digest
from clipbench.utils.numbers import MOST_WORKERS, check_whole

OutputFormat = Literal["auto", "parquet", "tsv", "webdataset"]
_MOST_NEGATIVES = 1_000


@dataclass(frozen=True)
class MiningOptions:
    """The mining of captions.

    Attributes:
        captions: Shards: files, folders, globs, ``{000..041}`` ranges, or URLs that ``fsspec`` opens.
        concept: A concept's name, or a YAML file with one.
        output_path: The folder that is written to; an unfinished mining in it is resumed.
        caption_column: Column of the captions; None finds it by its name.
        negatives: Hard negatives per caption, drawn without replacement; None takes all replacements.
        output_format: ``parquet``, ``tsv`` as open_clip and NegCLIP read it, or ``webdataset``; ``auto`` is
            ``webdataset`` for tars and ``parquet`` for tables.
        seed: Of the draw of negatives.
        processes: Processes on this machine.
        ray: Work on a Ray cluster instead: that of ``RAY_ADDRESS``, else one that runs here, else a new local one.

    Raises:
        ConfigError: A value is invalid.
        UnknownName: There is no such concept.
    """

    captions: tuple[str, ...]
    concept: str
    output_path: Path
    caption_column: str | None = None
    negatives: int | None = 3
    output_format: OutputFormat = "auto"
    seed: int = 0
    processes: int = 2
    ray: bool = False

    def __post_init__(self) -> None:
        if not self.captions:
            raise ConfigError("captions: name at least one shard: a file, folder, glob or URL")
        if self.output_format not in get_args(OutputFormat):
            raise ConfigError(f"output_format {self.output_format!r}: give one of {', '.join(get_args(OutputFormat))}")
        check_whole("seed", self.seed, 0, 2**63 - 1)
        check_whole("processes", self.processes, 1, MOST_WORKERS)
        if self.negatives is not None:
            check_whole("negatives", self.negatives, 1, _MOST_NEGATIVES)
        load_concept(self.concept)

    def loaded_concept(self) -> Concept:
        """The concept."""
        return load_concept(self.concept)

    def identity(self) -> dict[str, Any]:
        """What the output depends on, besides the shards."""
        replacements = sorted((word, list(others)) for word, others in self.loaded_concept().replacements.items())
        return {
            "concept": self.concept,
            "replacements": digest(replacements),
            "caption_column": self.caption_column,
            "negatives": self.negatives,
            "output_format": self.output_format,
            "seed": self.seed,
        }
