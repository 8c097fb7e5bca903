"""A study's tables, arranged as in the paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from clipbench.analysis.tradeoff import RETRIEVAL_METRIC
from clipbench.reproduce.kinds import BASE, Kind, all_kinds, trained_kinds
from clipbench.reproduce.lookup import Cell, CellKey, Cells
from clipbench.reproduce.table_schema import (
    DatasetsTable,
    EpochsTable,
    GainsTable,
    RetrievalTable,
    ScoresTable,
    Table,
)
from clipbench.reproduce.training_schema import concept_label


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
        unknown: Cells of rows that have no number yet and are not shown.
    """

    id: str
    title: str
    base_model: str
    spans: list[tuple[str, int]]
    columns: list[str]
    row_titles: list[str]
    rows: list[tuple[list[str], list[Cell | None]]] = field(default_factory=list)
    unknown: list[Cell] = field(default_factory=list)

    def add(self, titles: list[str], row: list[Cell | None]) -> None:
        """Add a row, unless it has no number."""
        if any(cell and cell.values for cell in row):
            self.rows.append((titles, row))
        else:
            self.unknown += [cell for cell in row if cell is not None]

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
        return [cell for _, row in self.rows for cell in row if cell is not None] + self.unknown


def grids_of(cells: Cells) -> list[Grid]:
    """All tables of a study, once for each base model."""
    return [_grid(cells, table, base) for base in cells.study.base_models for table in cells.study.tables]


def _grid(cells: Cells, table: Table, base: str) -> Grid:
    if isinstance(table, EpochsTable):
        return _epochs(cells, table, base)
    if isinstance(table, ScoresTable):
        return _scores(cells, table, base)
    if isinstance(table, GainsTable):
        return _gains(cells, table, base)
    return _datasets(cells, table, base) if isinstance(table, DatasetsTable) else _retrieval(cells, table, base)


def _epochs(cells: Cells, table: EpochsTable, base: str) -> Grid:
    epochs, kinds = _all_epochs(cells), _kinds(cells)
    spans = [(kind, 1 if kind == BASE.label else len(epochs)) for kind in kinds]
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
    spans = [(table.metric or "accuracy", len(kinds)), ("text-to-image R@5", len(kinds))]
    grid = Grid(table.id, table.title, base, spans, [*kinds, *kinds], ["concept", "epoch"])
    retrieval = CellKey(base, table.retrieval, RETRIEVAL_METRIC)
    for concept in _concepts(cells, table.tasks):
        accuracy = CellKey(base, table.tasks[concept], table.metric)
        for epoch in _all_epochs(cells):
            row = _row(cells, accuracy, concept, [epoch]) + _row(cells, retrieval, concept, [epoch])
            grid.rows.append(([concept, str(epoch)], row))
    return grid


def _scores(cells: Cells, table: ScoresTable, base: str) -> Grid:
    columns = [*table.metrics.values(), *table.retrieval.values()]
    grid = Grid(table.id, table.title, base, [("", len(columns))], columns, ["concept", "model"])
    for concept in _concepts(cells, table.tasks):
        keys = _keys(cells, table, base, concept, BASE)[: len(table.metrics)]
        blind = [cells.blind(key) for key in keys]
        grid.rows.append(([concept, "best blind rule"], [*blind, *[None] * len(table.retrieval)]))
        for kind in (BASE, *trained_kinds(cells.study)):
            grid.add([concept, kind.label], [cells.cell(key) for key in _keys(cells, table, base, concept, kind)])
    return grid


def _gains(cells: Cells, table: GainsTable, base: str) -> Grid:
    columns = [*table.metrics.values(), *table.retrieval.values()]
    spans = [(f"difference from {table.against}, in points", len(columns))]
    grid = Grid(table.id, table.title, base, spans, columns, ["concept", "model"])
    against = next(kind for kind in (BASE, *all_kinds(cells.study)) if kind.label == table.against)
    for concept in _concepts(cells, table.tasks):
        for kind in all_kinds(cells.study):
            pairs = zip(
                _keys(cells, table, base, concept, kind), _keys(cells, table, base, concept, against), strict=True
            )
            if kind != against:
                grid.add([concept, kind.label], [cells.gain(*pair) for pair in pairs])
    return grid


def _keys(cells: Cells, table: ScoresTable | GainsTable, base: str, concept: str, kind: Kind) -> list[CellKey]:
    """A row's cells: the task's metrics, and Recall@5 of the retrieval tasks."""
    of = None if kind == BASE else concept
    named = [(table.tasks[concept], metric) for metric in table.metrics]
    named += [(task, RETRIEVAL_METRIC) for task in table.retrieval]
    return [CellKey(base, task, metric, of, kind, cells.study.training.epochs) for task, metric in named]


def _row(cells: Cells, base: CellKey, concept: str, epochs: Iterable[int]) -> list[Cell | None]:
    """The base model, and each kind of model after each epoch."""

    def keys() -> Iterator[CellKey]:
        yield base
        for kind in trained_kinds(cells.study):
            for epoch in epochs:
                yield replace(base, concept=concept, kind=kind, epoch=epoch)

    return [cells.cell(key) for key in keys()]


def _all_epochs(cells: Cells) -> range:
    return range(1, cells.study.training.epochs + 1)


def _kinds(cells: Cells) -> list[str]:
    return [kind.label for kind in (BASE, *trained_kinds(cells.study))]


def _concepts(cells: Cells, named: Iterable[str]) -> list[str]:
    """The concepts of a table, in the order of training."""
    return [label for concept in cells.study.training.concepts if (label := concept_label(concept)) in named]
