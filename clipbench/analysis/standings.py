"""Several models on the same tasks, in memory: which is best on each, and which are significantly worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from clipbench.analysis.statistics import holm, sign_flip_test
from clipbench.results import Results
from clipbench.types import SampleResult

SIGNIFICANT = 0.05


class Answers:
    """Which samples each model has right, collected during scoring with ``add``."""

    def __init__(self) -> None:
        self._right: dict[tuple[str, str], dict[str, tuple[bool, str]]] = {}

    def add(self, model: str, task: str, result: SampleResult, metric: str) -> None:
        """Add one sample of a model, if its value of the metric is 0 or 1."""
        if result.values.get(metric) in (0.0, 1.0):
            answers = self._right.setdefault((model, task), {})
            answers[result.sample_id] = result.values[metric] == 1.0, result.cluster

    def p_value(self, a: str, b: str, task: str) -> float | None:
        """The p-value of the exact paired test by image between two models; None if they share no sample."""
        ours, others = self._right.get((a, task), {}), self._right.get((b, task), {})
        sums: dict[str, int] = {}
        for name, (right, cluster) in ours.items():
            if name in others:
                sums[cluster] = sums.get(cluster, 0) + right - others[name][0]
        return sign_flip_test(list(sums.values())) if sums else None


@dataclass(frozen=True)
class Standing:
    """One model on one task, beside the best.

    Attributes:
        task: The task.
        model: The model.
        metric: The primary metric.
        value: Its value; None where the model or the task failed.
        stderr: Its standard error, if known.
        best: No model has a higher value.
        p_value: That of the exact paired test against the best model, with Holm's correction over all tests; None for
            the best model, or if there is no test.
    """

    task: str
    model: str
    metric: str
    value: float | None
    stderr: float | None = None
    best: bool = False
    p_value: float | None = None

    @property
    def worse(self) -> bool:
        """Whether the difference from the best model is significant."""
        return self.p_value is not None and self.p_value < SIGNIFICANT


def standings(results: Mapping[str, Results | None], tasks: Sequence[str], answers: Answers) -> list[Standing]:
    """Rank models task by task, in the order of ``tasks`` and then of ``results``.

    Args:
        results: By model; None where it failed.
        tasks: The tasks.
        answers: What the models have right.
    """
    found: list[Standing] = []
    for task in tasks:
        rows = [_standing(task, model, result) for model, result in results.items()]
        highest = max((row.value for row in rows if row.value is not None), default=None)
        top = next((row.model for row in rows if row.value is not None and row.value == highest), "")
        for row in rows:
            best = row.value is not None and row.value == highest
            tested = row.value is not None and row.model != top
            found.append(replace(row, best=best, p_value=answers.p_value(top, row.model, task) if tested else None))
    corrected = iter(holm([row.p_value for row in found if row.p_value is not None]))
    return [row if row.p_value is None else replace(row, p_value=next(corrected)) for row in found]


def _standing(task: str, model: str, results: Results | None) -> Standing:
    result = results.tasks.get(task) if results else None
    measure = result.primary if result else None
    metric = result.primary_metric if result else ""
    return Standing(task, model, metric, measure.value if measure else None, measure.stderr if measure else None)
