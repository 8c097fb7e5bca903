"""Findings on differences between kinds of models: what is gained, what a blind rule could have had, what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from clipbench.analysis.tradeoff import RETRIEVAL_METRIC
from clipbench.reproduce.findings import Finding, make_finding, points
from clipbench.reproduce.intervals import Estimate
from clipbench.reproduce.kinds import BASE, Kind, all_kinds
from clipbench.reproduce.lookup import CellKey, Cells
from clipbench.reproduce.table_schema import GainsTable
from clipbench.reproduce.training_schema import concept_label

_BALANCED = "acc_balanced"
_R5_COST = 0.04  # as in the paper's Table 7: color, after the third epoch
_ROUNDING = 1e-9


def findings_on_gains(cells: Cells, table: GainsTable, base: str) -> Iterator[Finding]:
    """What differences from one kind of model say, paired by seed and sample."""
    kinds = [BASE, *all_kinds(cells.study)]
    against = next(kind for kind in kinds if kind.label == table.against)
    for concept in map(concept_label, cells.study.training.concepts):
        if concept not in table.tasks:
            continue
        for kind in kinds[1:]:
            gains = Gains(cells, table, CellKey(base, table.tasks[concept], None, concept, kind), against)
            if kind != against and gains.accuracy:
                yield from _of_control(gains) if against == Kind(0) else _of_method(gains)


@dataclass(frozen=True, slots=True)
class Gains:
    """The differences of one kind of model from another one, for one concept.

    Attributes:
        cells: The study's numbers.
        table: Names the tasks.
        key: The task's primary metric of the first kind.
        against: The other kind.
    """

    cells: Cells
    table: GainsTable
    key: CellKey
    against: Kind

    @property
    def accuracy(self) -> Estimate | None:
        """Of the task's primary metric."""
        return self._gain(self.key)

    @property
    def balanced(self) -> Estimate | None:
        """Of the metric averaged over keywords."""
        return self._gain(replace(self.key, metric=_BALANCED))

    @property
    def retrieval(self) -> Estimate | None:
        """Of Recall@5 on the table's first retrieval task."""
        task = next(iter(self.table.retrieval), None)
        return self._gain(replace(self.key, task=task, metric=RETRIEVAL_METRIC)) if task else None

    def _gain(self, key: CellKey) -> Estimate | None:
        key = replace(key, epoch=self.cells.study.training.epochs)
        other = replace(key, kind=self.against, concept=None if self.against == BASE else key.concept)
        cell = self.cells.gain(key, other)
        return cell.estimate if cell else None

    @property
    def blind(self) -> str:
        """What the best blind rule has on the task."""
        parts = []
        for name, metric in (("accuracy", None), ("averaged over keywords", _BALANCED)):
            cell = self.cells.blind(replace(self.key, metric=metric))
            if cell and cell.estimate:
                parts.append(f"{100 * cell.estimate.value:.1f} {name}")
        return f"; the best blind rule has {', '.join(parts)}" if parts else ""

    @property
    def names(self) -> str:
        """The difference in words."""
        return f"{self.key.kind.label} − {self.against.label}"


def _of_control(gains: Gains) -> Iterator[Finding]:
    """What trained models gain over classical training."""
    if gains.key.kind.alpha != 1:
        return
    accuracy, balanced, retrieval = gains.accuracy, gains.balanced, gains.retrieval
    names = gains.names
    if accuracy:
        yield make_finding(
            gains.key,
            "A hard negative raises accuracy over classical training",
            "the accuracy is above that of Clas. by more than the 95 % interval",
            f"{names} = {points(accuracy)}",
            held=accuracy.low > 0,
        )
    if accuracy and balanced:
        yield make_finding(
            gains.key,
            "The gain is not only the keywords' frequency",
            "the accuracy averaged over keywords is above that of Clas. by more than the 95 % interval",
            f"{names} = {points(balanced)} averaged over keywords, {points(accuracy)} in accuracy{gains.blind}",
            held=balanced.low > 0,
        )
    if retrieval:
        yield make_finding(
            gains.key,
            "It costs little retrieval",
            f"compared with Clas., text-to-image R@5 falls by at most {100 * _R5_COST:.0f} points",
            f"{names} = {points(retrieval)}",
            held=retrieval.value >= -_R5_COST - _ROUNDING,
        )


def _of_method(gains: Gains) -> Iterator[Finding]:
    """Whether something else is better than hard negatives as they are."""
    if gains.key.kind == Kind(0):
        return
    balanced, retrieval = gains.balanced, gains.retrieval
    if balanced and retrieval:
        yield make_finding(
            gains.key,
            f"It is a better trade-off than {gains.against.label}",
            "the accuracy averaged over keywords or R@5 is higher by more than the 95 % interval, and the other one is"
            " not lower by more than it",
            f"{gains.names} = {points(balanced)} averaged over keywords, {points(retrieval)} in R@5",
            held=(balanced.low > 0 and retrieval.high >= 0) or (retrieval.low > 0 and balanced.high >= 0),
        )
