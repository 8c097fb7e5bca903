"""What a benchmark declares about its data, and what every source of rows offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from clipbench.types import Row


@dataclass(frozen=True, slots=True)
class HubTable:
    """A parquet dataset on the Hugging Face hub and the columns that are read from it.

    Attributes:
        repo: ``owner/name``; empty where only split and columns are known, for a local copy.
        revision: The commit that is read, 40 hex digits; or a branch, where no commit is known.
        split: Split name.
        images: Image columns, in the order that :attr:`Row.images` keeps.
        captions: Text columns: one (a string or a list of strings), or one for each image.
        fields: Further columns that tasks filter on.
        config: Configuration name, where the repository has several.
        exact: The columns were named by the user: where one is missing, no other is guessed.
    """

    repo: str
    revision: str
    split: str
    images: tuple[str, ...]
    captions: tuple[str, ...]
    fields: tuple[str, ...] = ()
    config: str | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset: its home on the hub, the local layouts it comes in, and what to cite.

    Attributes:
        name: What ``--data NAME=PATH`` calls it.
        hub: Where it is on the hub; None where the user has to bring it.
        path: A local path that is read unless ``--data`` names another.
        generator: A function ``module:name`` without arguments that makes the rows, where they are neither on
            the hub nor on disk.
        layouts: Raw layouts, by name in :mod:`clipbench.data`, tried on a local path before the
            plain tables (folder, CSV, JSONL, parquet).
        license: One line on what the licence allows.
        citation: How to cite it.
        homepage: Where a person finds it.
        instructions: Which file to put where, for the message that says that the hub was not reached.
    """

    name: str
    hub: HubTable | None
    path: str | None = None
    generator: str | None = None
    layouts: tuple[str, ...] = ()
    license: str = ""
    citation: str = ""
    homepage: str = ""
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where rows came from, for result files.

    Attributes:
        layout: ``hub``, ``coco``, ``flickr30k``, ``csv``, …
        location: The path or repository as the user or the task gave it.
        revision: The commit that was read (hub), else None.
        fingerprint: Digest of what identifies the rows (file name, size and content digest of the
            caption file; or repository and commit): equal means equal rows.
    """

    layout: str
    location: str
    revision: str | None
    fingerprint: str
    details: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """Rows, in a fixed order, as often as one asks."""

    provenance: Provenance

    def rows(
        self,
        *,
        where: Mapping[str, object] | None = None,
        keep: Callable[[tuple[str, ...]], bool] | None = None,
    ) -> Iterator[Row]:
        """Yield rows.

        Args:
            where: Only rows whose fields equal these values, or their text where a table knows text only;
                pushed down to the file format if it can.
            keep: Only rows whose captions it accepts, asked before any image is touched.

        Raises:
            DataError: A file, column or row cannot be read; names it.
        """
