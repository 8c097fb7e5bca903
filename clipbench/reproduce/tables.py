"""A study's tables in the paper's own arrangement."""

from __future__ import annotations

from dataclasses import dataclass, field

from clipbench.analysis.tradeoff import RETRIEVAL_METRIC
from clipbench.reproduce.lookup import Cell, Cells
from clipbench.reproduce.study import ORIGINAL, concept_label, model_label
from clipbench.reproduce.table_schema import DatasetsTable, EpochsTable, RetrievalTable


@dataclass
class Grid:
    """A table.

    Attributes:
        id: The table's.
        title: The table's.
        base_model: Whose models it shows.
        spans: Titles above the columns, each with the number of columns it spans.
        columns: Titles of the columns.
        row_titles: How many titles a row has, and what they are.
        rows: Titles and cells of each row; None where the paper has no such cell.
    """

    id: str
    title: str
    base_model: str
    spans: list[tuple[str, int]]
    columns: list[str]
    row_titles: list[str]
    rows: list[tuple[list[str], list[Cell | None]]] = field(default_factory=list)

    @property
    def starts(self) -> set[int]:
        """The columns that begin a span."""
        return {sum(width for _, width in self.spans[:place]) for place in range(len(self.spans))}

    @property
    def heads(self) -> list[str]:
        """Titles of the columns with those above them, for a table that has one line of titles."""
        spans = [title for title, width in self.spans for _ in range(width)]
        return [" ".join(part for part in pair if part) for pair in zip(spans, self.columns, strict=True)]

    @property
    def cells(self) -> list[Cell]:
        """All cells that are there."""
        return [cell for _, row in self.rows for cell in row if cell is not None]


def grids_of(cells: Cells) -> list[Grid]:
    """All tables of a study, once for each base model."""
    found = []
    for base in cells.study.base_models:
        for table in cells.study.tables:
            if isinstance(table, EpochsTable):
                found.append(_epochs(cells, table, base))
            elif isinstance(table, DatasetsTable):
                found.append(_datasets(cells, table, base))
            else:
                found.append(_retrieval(cells, table, base))
    return found


def _numbers(cells: Cells) -> list[int]:
    return sorted(cells.study.training.negatives)


def _takes_part(cells: Cells, concept: str, number: int) -> bool:
    return any((run.concept_label, run.negatives) == (concept, number) for run in cells.runs if not run.is_base)


def _concepts(cells: Cells, named: dict[str, str]) -> list[str]:
    """Those of a table, in training's order."""
    return [label for concept in cells.study.training.concepts if (label := concept_label(concept)) in named]


def _at(row: list[float] | None, place: int) -> float | None:
    return row[place] if row is not None and place < len(row) else None


def _epochs(cells: Cells, table: EpochsTable, base: str) -> Grid:
    epochs, numbers = range(1, cells.study.training.epochs + 1), _numbers(cells)
    spans = [(ORIGINAL, 1), *((model_label(number), len(epochs)) for number in numbers)]
    columns = ["", *(str(epoch) for _ in numbers for epoch in epochs)]
    grid = Grid(table.id, table.title, base, spans, columns, ["concept"])
    for concept in _concepts(cells, table.tasks):
        task, published = table.tasks[concept], table.published.get(concept, {})
        row: list[Cell | None] = [cells.cell(base, concept, None, 0, task, None, _at(published.get(ORIGINAL), 0))]
        for number in numbers:
            theirs = published.get(model_label(number))
            row += [
                cells.cell(base, concept, number, epoch, task, None, _at(theirs, epoch - 1))
                if _takes_part(cells, concept, number)
                else None
                for epoch in epochs
            ]
        grid.rows.append(([concept], row))
    return grid


def _kinds(
    cells: Cells, base: str, concept: str, epoch: int, task: str, metric: str | None, published: list[float] | None
) -> list[Cell | None]:
    """The base model, and each kind after an epoch: columns of Tables 2 and 7."""
    row: list[Cell | None] = [cells.cell(base, concept, None, 0, task, metric, _at(published, 0))]
    for place, number in enumerate(_numbers(cells), 1):
        there = _takes_part(cells, concept, number)
        row.append(cells.cell(base, concept, number, epoch, task, metric, _at(published, place)) if there else None)
    return row


def _kind_titles(cells: Cells) -> list[str]:
    return [ORIGINAL, *(model_label(number) for number in _numbers(cells))]


def _datasets(cells: Cells, table: DatasetsTable, base: str) -> Grid:
    titles = _kind_titles(cells)
    grid = Grid(table.id, table.title, base, [("", len(titles))], titles, ["data set", "concept"])
    for dataset, tasks in table.rows.items():
        for concept in _concepts(cells, tasks):
            published = table.published.get(dataset, {}).get(concept)
            row = _kinds(cells, base, concept, cells.study.training.epochs, tasks[concept], None, published)
            grid.rows.append(([dataset, concept], row))
    return grid


def _retrieval(cells: Cells, table: RetrievalTable, base: str) -> Grid:
    titles = _kind_titles(cells)
    spans = [("accuracy", len(titles)), ("text-to-image R@5", len(titles))]
    grid = Grid(table.id, table.title, base, spans, [*titles, *titles], ["concept", "epoch"])
    for concept in _concepts(cells, table.tasks):
        published = table.published.get(concept, {})
        for epoch in range(1, cells.study.training.epochs + 1):
            theirs = {
                name: rows[epoch - 1] if epoch <= len(rows := published.get(name, [])) else None
                for name in ("accuracy", "retrieval")
            }
            row = _kinds(cells, base, concept, epoch, table.tasks[concept], None, theirs["accuracy"])
            row += _kinds(cells, base, concept, epoch, table.retrieval, RETRIEVAL_METRIC, theirs["retrieval"])
            grid.rows.append(([concept, str(epoch)], row))
    return grid
