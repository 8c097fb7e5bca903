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
        metric: Of the concepts' tasks; by default the primary one.
    """

    title: str
    tasks: dict[str, str]
    retrieval: str
    metric: str | None = None

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
    """Concept accuracy against retrieval, a point per checkpoint: the paper's Figure 4.

    Attributes:
        checkpoints: All that there are, or those after the last epoch.
    """

    checkpoints: Literal["all", "last"] = "all"


class _Scores(Part):
    """Tasks of concepts with their metrics, and retrieval tasks.

    Attributes:
        tasks: Concept to task.
        metrics: Metrics of these tasks, each with the title of its column.
        retrieval: Retrieval tasks, each with the title of its column of text-to-image R@5.
    """

    id: str
    title: str
    tasks: dict[str, str]
    metrics: dict[str, str]
    retrieval: dict[str, str] = {}

    @property
    def concepts(self) -> list[str]:
        """The concepts it shows."""
        return list(self.tasks)

    @property
    def all_tasks(self) -> list[str]:
        """The tasks it shows."""
        return [*self.tasks.values(), *self.retrieval]


class ScoresTable(_Scores):
    """A row per concept and kind of model, a column per metric, after the last epoch; and what blind rules have."""

    layout: Literal["scores"]


class GainsTable(_Scores):
    """Differences of each kind of model from one kind, paired by seed and by test sample, after the last epoch.

    Attributes:
        against: The kind that the others are compared with: ``Clas.``, ``HN1``, …
    """

    layout: Literal["gains"]
    against: str = "Clas."


class ContactSheets(Part):
    """Samples on which two kinds of models differ, of the first seed, after the last epoch.

    Attributes:
        tasks: Tasks of a gains table, by concept.
        model: The kind whose samples are shown: ``HN1``, …
        against: The kind that differs: ``Clas.``, …
        most: Samples on a sheet.
    """

    tasks: dict[str, str]
    model: str = "HN1"
    against: str = "Clas."
    most: int = 9


Table = Annotated[
    EpochsTable | DatasetsTable | RetrievalTable | ScoresTable | GainsTable, Field(discriminator="layout")
]


def of_concepts(part: Table | Figure | ContactSheets, concepts: set[str]) -> dict[str, Any]:
    """The fields of a table or figure without the concepts that are not trained on; empty if nothing is left."""
    fields = part.model_dump()
    if isinstance(part, DatasetsTable):
        rows = {name: {key: task for key, task in row.items() if key in concepts} for name, row in part.rows.items()}
        shown = fields["rows"] = {name: row for name, row in rows.items() if row}
    else:
        shown = fields["tasks"] = {concept: task for concept, task in part.tasks.items() if concept in concepts}
    return fields if shown else {}
