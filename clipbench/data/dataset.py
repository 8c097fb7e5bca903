"""Declarations of datasets, and the interface of every source of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from clipbench.types import Row


@dataclass(frozen=True, slots=True)
class HubTable:
    """A parquet dataset on the Hugging Face hub and the columns that are read from it.

    Attributes:
        repo: ``owner/name``; empty for a local copy of which only split and columns are known.
        revision: The commit to read, 40 hex digits, or a branch if no commit is known.
        split: Split name.
        images: Image columns, in the order of ``Row.images``.
        captions: Text columns: one (a string or a list of strings), or one for each image.
        fields: Further columns that tasks filter on.
        required: Further columns that must be there, and become fields.
        further_images: Further image columns that must be there; their images come last in ``Row.images``.
        false_captions: Text columns of captions that are false of the image, for choice tasks.
        label: Column of the class (a number or a name), in data for classification; such data has no captions.
        constants: Fields with the same value in every row, for a repository or configuration that holds only one part.
        config: Configuration name, if the repository has several.
        exact: Never guess another column for one that is missing, because the user named these.
    """

    repo: str
    revision: str
    split: str
    images: tuple[str, ...]
    captions: tuple[str, ...]
    fields: tuple[str, ...] = ()
    config: str | None = None
    exact: bool = False
    false_captions: tuple[str, ...] = ()
    constants: tuple[tuple[str, str], ...] = ()
    label: str = ""
    required: tuple[str, ...] = ()
    further_images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingSplit:
    """The part of a dataset that models are trained on; it never falls back to the evaluation data.

    Attributes:
        hub: Its repository on the hub; None if users must supply a local copy.
        instructions: How to arrange a local copy, for error messages.
        skip_keywords: By concept, keywords that are not looked for in its captions.
    """

    hub: HubTable | None = None
    instructions: str = ""
    skip_keywords: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset: its hub repository, the local layouts it is distributed in, and its citation.

    Attributes:
        name: Its key in the ``data`` option.
        hub: The repository on the hub; None if users must supply a local copy.
        path: A local path that is read unless ``data`` names another.
        image_folder: Folder of the image files that rows name, if they are not next to the rows.
        title: What people call it; by default its name.
        generator: A function ``module:name`` without arguments that generates the rows of a synthetic dataset.
        layouts: Raw layouts, by module name in ``clipbench.data.layouts``; they are tried on a local path
            before the generic tables (folder, CSV, JSONL, parquet).
        license: One line on what the license allows.
        citation: How to cite it.
        references: What ``clipbench cite`` writes: keys of ``tasks/references.bib``, or whole BibTeX entries.
        homepage: Its web page.
        instructions: How to arrange a local copy, for error messages.
        train: What can be trained on; None if the dataset is for evaluation only.
    """

    name: str
    hub: HubTable | None
    path: str | None = None
    generator: str | None = None
    layouts: tuple[str, ...] = ()
    license: str = ""
    citation: str = ""
    references: tuple[str, ...] = ()
    homepage: str = ""
    instructions: str = ""
    train: TrainingSplit | None = None
    image_folder: str | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where rows came from, for result files.

    Attributes:
        layout: ``hub``, ``coco``, ``flickr30k``, ``csv``, …
        location: The path or repository as the user or the task gave it.
        revision: The commit that was read (hub), else None.
        fingerprint: Digest of what identifies the rows (file name, size and content digest of the
            caption file; or repository and commit): equal means equal rows.
        details: Further facts, by name. ``problem`` is a note for users whenever the rows are used; ``gap`` says what
            they lack compared with the complete data, and fails a run.
    """

    layout: str
    location: str
    revision: str | None
    fingerprint: str
    details: Mapping[str, str] = field(default_factory=dict)

    def with_problem(self, problem: str) -> Provenance:
        """A copy with one more note for users; unchanged if the note is empty."""
        if not problem:
            return self
        before = self.details.get("problem")
        return replace(self, details={**self.details, "problem": f"{before}; {problem}" if before else problem})


class Source(Protocol):
    """Rows in a fixed order, which can be read any number of times."""

    provenance: Provenance

    def rows(
        self,
        *,
        where: Mapping[str, object] | None = None,
        keep: Callable[[tuple[str, ...]], bool] | None = None,
    ) -> Iterator[Row]:
        """Yield rows.

        Args:
            where: Only rows with these field values, compared as text in formats that only store text;
                pushed down to the file format if possible.
            keep: Only rows with captions that this function accepts; it is called before images are accessed.

        Raises:
            DataError: A file, column or row cannot be read; the message names it.
        """
