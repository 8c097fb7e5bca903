"""The paper's findings, each checked on a study's own numbers.

The thresholds are the extremes of the paper's Table 7, so that the paper's own figures pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from clipbench.analysis.tradeoff import RETRIEVAL_METRIC
from clipbench.reproduce.findings import Finding, make_finding, points
from clipbench.reproduce.gains import findings_on_gains
from clipbench.reproduce.intervals import Estimate, difference
from clipbench.reproduce.kinds import BASE, Kind
from clipbench.reproduce.lookup import CellKey, Cells, Value
from clipbench.reproduce.table_schema import DatasetsTable, GainsTable, RetrievalTable, ScoresTable
from clipbench.reproduce.training_schema import concept_label

_SHARE_OF_THREE = 2 / 3  # object: HN1 has 7 of the 10 points that HN3 has over Clas.
_R5_COST = 0.04  # color, after the third epoch
_EPOCHS_APART = 0.02  # location, from the first epoch to the third
_ROUNDING = 1e-9  # .91 - .89 is more than .02 to a computer


def findings_of(cells: Cells) -> list[Finding]:
    """All findings that the study has the numbers for."""
    found: list[Finding] = []
    for base in cells.study.base_models:
        for table in cells.study.tables:
            if isinstance(table, GainsTable):
                found += findings_on_gains(cells, table, base)
            if isinstance(table, DatasetsTable | ScoresTable | GainsTable):
                continue
            for concept in map(concept_label, cells.study.training.concepts):
                if concept in table.tasks:
                    found += _of_task(cells, CellKey(base, table.tasks[concept], concept=concept))
                    if isinstance(table, RetrievalTable):
                        found += _of_retrieval(cells, CellKey(base, table.retrieval, RETRIEVAL_METRIC, concept))
    order = list(dict.fromkeys(finding.statement for finding in found))
    return sorted(found, key=lambda finding: order.index(finding.statement))


def _of_task(cells: Cells, key: CellKey) -> Iterator[Finding]:
    last = cells.study.training.epochs
    one, control, three = (_values(cells, key, negatives, last) for negatives in (1, 0, 3))
    gain = _minus(one, control)
    if gain:
        yield make_finding(
            key,
            "A hard negative teaches what classical training does not",
            "HN1 is above Clas. after the last epoch, by more than the 95 % interval",
            f"HN1 − Clas. = {points(gain)}",
            held=gain.low > 0,
        )
    most = _minus(three, control)
    if gain and most:
        share = f", {gain.value / most.value:.0%} of it" if most.low > 0 else ""
        yield make_finding(
            key,
            "One hard negative is nearly as good as three",
            f"HN1 has at least {_SHARE_OF_THREE:.0%} of the gain over Clas. that HN3 has, or HN3 has none beyond its"
            " interval",
            f"HN3 − Clas. = {points(most)}; HN1 − Clas. = {points(gain)}{share}",
            held=most.low <= 0 or gain.value >= _SHARE_OF_THREE * most.value - _ROUNDING,
        )
    more = _minus(one, _values(cells, key, 1, 1)) if last > 1 else None
    if more:
        yield make_finding(
            key,
            f"One epoch is nearly as good as {_number_word(last)}",
            f"HN1 gains at most {100 * _EPOCHS_APART:.0f} points after its first epoch",
            f"epoch {last} − epoch 1 = {points(more)}",
            held=more.value <= _EPOCHS_APART + _ROUNDING,
        )


def _of_retrieval(cells: Cells, key: CellKey) -> Iterator[Finding]:
    one, control = (_values(cells, key, negatives, cells.study.training.epochs) for negatives in (1, 0))
    cost, change = _minus(control, one), _minus(one, cells.values(replace(key, concept=None, kind=BASE)))
    if cost:
        against_base = f"; HN1 − Orig. = {points(change)}" if change else ""
        yield make_finding(
            key,
            "It costs little retrieval",
            f"HN1's text-to-image R@5 is at most {100 * _R5_COST:.0f} points below that of Clas. after the last epoch",
            f"Clas. − HN1 = {points(cost)}{against_base}",
            held=cost.value <= _R5_COST + _ROUNDING,
        )


def _values(cells: Cells, key: CellKey, negatives: int, epoch: int) -> tuple[Value, ...]:
    return cells.values(replace(key, kind=Kind(negatives), epoch=epoch))


def _minus(first: tuple[Value, ...], second: tuple[Value, ...]) -> Estimate | None:
    """The first minus the second, over the seeds that both have; a base model counts for every seed."""
    others = {value.seed: value for value in second}
    pairs = [(a, others.get(a.seed, others.get(None))) for a in first]
    both = [(a, b) for a, b in pairs if b is not None]
    if not both:
        return None
    return difference(
        [a.value for a, _ in both], [a.stderr for a, _ in both], [b.value for _, b in both], [b.stderr for _, b in both]
    )


def _number_word(count: int) -> str:
    return {2: "two", 3: "three"}.get(count, str(count))
