"""The tables and the figure of a study's report, as its file declares them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    """A part of a study's file; immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EpochsTable(Part):
    """A row per concept, a column per kind of model and epoch: the paper's Table 1.

    Attributes:
        tasks: Concept to task.
    """

    layout: Literal["epochs"]
    id: str
    title: str
    tasks: dict[str, str]

    @property
    def concepts(self) -> list[str]:
        """The concepts it shows."""
        return list(self.tasks)

    @property
    def all_tasks(self) -> list[str]:
        """The tasks it shows."""
        return list(self.tasks.values())


class DatasetsTable(Part):
    """A row per data set and concept, a column per kind of model, after the last epoch: the paper's Table 2.

    Attributes:
        rows: Data set to concept to task.
    """

    layout: Literal["datasets"]
    id: str
    title: str
    rows: dict[str, dict[str, str]]

    @property
    def concepts(self) -> list[str]:
        """The concepts it shows."""
        return [concept for row in self.rows.values() for concept in row]

    @property
    def all_tasks(self) -> list[str]:
        """The tasks it shows."""
        return [task for row in self.rows.values() for task in row.values()]


class TradeOff(Part):
    """Concept accuracy and retrieval.

    Attributes:
        tasks: Concept to task.
        retrieval: The retrieval task.
    """

    title: str
    tasks: dict[str, str]
    retrieval: str

    @property
    def concepts(self) -> list[str]:
        """The concepts it shows."""
        return list(self.tasks)

    @property
    def all_tasks(self) -> list[str]:
        """The tasks it shows."""
        return [*self.tasks.values(), self.retrieval]


class RetrievalTable(TradeOff):
    """A row per concept and epoch, columns of accuracy and of text-to-image R@5: the paper's Table 7."""

    layout: Literal["retrieval"]
    id: str


class Figure(TradeOff):
    """Concept accuracy against retrieval, a point per checkpoint: the paper's Figure 4."""


Table = Annotated[EpochsTable | DatasetsTable | RetrievalTable, Field(discriminator="layout")]


def of_concepts(part: Table | Figure, concepts: set[str]) -> dict[str, Any]:
    """The fields of a table or figure without the concepts that are not trained on; empty if nothing is left."""
    fields = part.model_dump()
    if isinstance(part, DatasetsTable):
        rows = {name: {key: task for key, task in row.items() if key in concepts} for name, row in part.rows.items()}
        shown = fields["rows"] = {name: row for name, row in rows.items() if row}
    else:
        shown = fields["tasks"] = {concept: task for concept, task in part.tasks.items() if concept in concepts}
    return fields if shown else {}
