"""A study's tables, arranged as in the paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from clipbench.analysis.tradeoff import RETRIEVAL_METRIC
from clipbench.reproduce.lookup import Cell, CellKey, Cells
from clipbench.reproduce.study import ORIGINAL, concept_label, model_label
from clipbench.reproduce.table_schema import DatasetsTable, EpochsTable, RetrievalTable, Table


@dataclass
class Grid:
    """A table of the report.

    Attributes:
        id: The table's.
        title: The table's.
        base_model: Whose models it shows.
        spans: Titles above the columns, each with the number of columns it spans.
        columns: Titles of the columns.
        row_titles: What the titles of a row are.
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
        """The first column of each span."""
        return {sum(width for _, width in self.spans[:place]) for place in range(len(self.spans))}

    @property
    def heads(self) -> list[str]:
        """Titles of the columns joined with those above them, for a table with one header line."""
        spans = [title for title, width in self.spans for _ in range(width)]
        return [" ".join(part for part in pair if part) for pair in zip(spans, self.columns, strict=True)]

    @property
    def cells(self) -> list[Cell]:
        """All cells that exist."""
        return [cell for _, row in self.rows for cell in row if cell is not None]


def grids_of(cells: Cells) -> list[Grid]:
    """All tables of a study, once for each base model."""
    return [_grid(cells, table, base) for base in cells.study.base_models for table in cells.study.tables]


def _grid(cells: Cells, table: Table, base: str) -> Grid:
    if isinstance(table, EpochsTable):
        return _epochs(cells, table, base)
    return _datasets(cells, table, base) if isinstance(table, DatasetsTable) else _retrieval(cells, table, base)


def _epochs(cells: Cells, table: EpochsTable, base: str) -> Grid:
    epochs, kinds = _all_epochs(cells), _kinds(cells)
    spans = [(kind, 1 if kind == ORIGINAL else len(epochs)) for kind in kinds]
    columns = ["", *(str(epoch) for _ in kinds[1:] for epoch in epochs)]
    grid = Grid(table.id, table.title, base, spans, columns, ["concept"])
    for concept in _concepts(cells, table.tasks):
        grid.rows.append(([concept], _row(cells, CellKey(base, table.tasks[concept]), concept, epochs)))
    return grid


def _datasets(cells: Cells, table: DatasetsTable, base: str) -> Grid:
    kinds, last = _kinds(cells), _all_epochs(cells)[-1:]
    grid = Grid(table.id, table.title, base, [("", len(kinds))], kinds, ["data set", "concept"])
    for dataset, tasks in table.rows.items():
        for concept in _concepts(cells, tasks):
            grid.rows.append(([dataset, concept], _row(cells, CellKey(base, tasks[concept]), concept, last)))
    return grid


def _retrieval(cells: Cells, table: RetrievalTable, base: str) -> Grid:
    kinds = _kinds(cells)
    spans = [("accuracy", len(kinds)), ("text-to-image R@5", len(kinds))]
    grid = Grid(table.id, table.title, base, spans, [*kinds, *kinds], ["concept", "epoch"])
    retrieval = CellKey(base, table.retrieval, RETRIEVAL_METRIC)
    for concept in _concepts(cells, table.tasks):
        accuracy = CellKey(base, table.tasks[concept])
        for epoch in _all_epochs(cells):
            row = _row(cells, accuracy, concept, [epoch]) + _row(cells, retrieval, concept, [epoch])
            grid.rows.append(([concept, str(epoch)], row))
    return grid


def _row(cells: Cells, base: CellKey, concept: str, epochs: Iterable[int]) -> list[Cell | None]:
    """The base model, and each kind of model after each epoch."""

    def keys() -> Iterator[CellKey]:
        yield base
        for number in _numbers(cells):
            for epoch in epochs:
                yield replace(base, concept=concept, negatives=number, epoch=epoch)

    return [cells.cell(key) for key in keys()]


def _all_epochs(cells: Cells) -> range:
    return range(1, cells.study.training.epochs + 1)


def _numbers(cells: Cells) -> list[int]:
    return sorted(cells.study.training.negatives)


def _kinds(cells: Cells) -> list[str]:
    return [ORIGINAL, *map(model_label, _numbers(cells))]


def _concepts(cells: Cells, named: Iterable[str]) -> list[str]:
    """The concepts of a table, in the order of training."""
    return [label for concept in cells.study.training.concepts if (label := concept_label(concept)) in named]
