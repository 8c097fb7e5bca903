"""The tables and the figure of a study's report, as its file declares them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    """A part of a study's file: unknown keys are errors, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EpochsTable(Part):
    """A row a concept, and for each kind of model a column an epoch: the paper's Table 1.

    Attributes:
        tasks: Concept to task.
        published: Concept to kind of model to its figures, one an epoch.
    """

    layout: Literal["epochs"]
    id: str
    title: str
    tasks: dict[str, str]
    published: dict[str, dict[str, list[float]]] = {}

    @property
    def concepts(self) -> list[str]:
        """The concepts it speaks of."""
        return list(self.tasks)

    @property
    def all_tasks(self) -> list[str]:
        """The tasks it shows."""
        return list(self.tasks.values())


class DatasetsTable(Part):
    """A row a data set and concept, a column a kind of model, after the last epoch: the paper's Table 2.

    Attributes:
        rows: Data set to concept to task.
        published: Data set to concept to figures, one a column.
    """

    layout: Literal["datasets"]
    id: str
    title: str
    rows: dict[str, dict[str, str]]
    published: dict[str, dict[str, list[float]]] = {}

    @property
    def concepts(self) -> list[str]:
        """The concepts it speaks of."""
        return [concept for row in self.rows.values() for concept in row]

    @property
    def all_tasks(self) -> list[str]:
        """The tasks it shows."""
        return [task for row in self.rows.values() for task in row.values()]


class TradeOff(Part):
    """Concept accuracy beside retrieval.

    Attributes:
        tasks: Concept to task.
        retrieval: The retrieval task.
    """

    title: str
    tasks: dict[str, str]
    retrieval: str

    @property
    def concepts(self) -> list[str]:
        """The concepts it speaks of."""
        return list(self.tasks)

    @property
    def all_tasks(self) -> list[str]:
        """The tasks it shows."""
        return [*self.tasks.values(), self.retrieval]


class RetrievalTable(TradeOff):
    """A row a concept and epoch, columns of accuracy and columns of text-to-image R@5: the paper's Table 7.

    Attributes:
        published: Concept to ``accuracy`` and ``retrieval``, each a row an epoch of figures, one a column.
    """

    layout: Literal["retrieval"]
    id: str
    published: dict[str, dict[str, list[list[float]]]] = {}


class Figure(TradeOff):
    """Concept accuracy against retrieval, a point a checkpoint: the paper's Figure 4."""


Table = Annotated[EpochsTable | DatasetsTable | RetrievalTable, Field(discriminator="layout")]


def of_concepts(part: Table | Figure, concepts: set[str]) -> dict[str, Any]:
    """A table or figure without the concepts that are not trained on; empty where nothing is left."""
    left = part.model_dump()
    if isinstance(part, DatasetsTable):
        rows = {name: {key: task for key, task in row.items() if key in concepts} for name, row in part.rows.items()}
        shown = left["rows"] = {name: row for name, row in rows.items() if row}
    else:
        shown = left["tasks"] = {concept: task for concept, task in part.tasks.items() if concept in concepts}
    if not isinstance(part, Figure):
        left["published"] = {name: figures for name, figures in part.published.items() if name in shown}
    return left if shown else {}
