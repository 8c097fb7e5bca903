"""Numbers of a task that are counted many samples at once are those of one after another."""

import pickle

import numpy as np
import pytest

from clipbench.evaluation import task_totals
from clipbench.evaluation.data_report import DataReport
from clipbench.evaluation.task_totals import TaskTotals
from clipbench.task_types import PairsTask
from clipbench.types import Deferred, SampleResult
from clipbench.utils.counting import BalancedMean, ClusteredMean, JointMean, Mean


class Judged(PairsTask):
    """With every kind of metric."""

    name = "judged"
    metrics = ("acc", "text_acc", "acc_balanced", "all_right", "group_right")
    balanced_metrics = {"acc_balanced": "acc"}
    joint_metrics = {"all_right": "cluster", "group_right": "group"}


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_totals_are_those_of_one_sample_after_another(monkeypatch, at_once):
    monkeypatch.setattr(task_totals, "_AT_ONCE", at_once)
    rng, task = np.random.default_rng(0), Judged()
    totals = TaskTotals(task, DataReport(task, None))
    metrics = {"text_acc": ClusteredMean(), "acc": ClusteredMean()}
    kinds = {"acc_balanced": BalancedMean(), "all_right": JointMean(), "group_right": JointMean()}
    breakdown, chance, tied = {}, Mean(), 0
    for number in range(100):
        value, cluster, group = float(rng.random() < 0.8), f"c{rng.integers(30)}", f"g{rng.integers(3)}"
        values = {"text_acc": 1 - value} | ({"acc": value} if number % 4 else {})
        totals.add(SampleResult(str(number), values, bool(value), number / 100, number % 5 == 0, group, cluster))
        tied += number % 5 == 0
        for name, one in values.items():
            metrics[name].add(one, cluster)
        if "acc" in values:
            kinds["acc_balanced"].add(value, cluster, group)
            kinds["all_right"].add(value, cluster, cluster)
            kinds["group_right"].add(value, cluster, f"{cluster} {group}")
            breakdown.setdefault(group, Mean()).add(value)
            chance.add(number / 100)
    totals.settle()
    found, slow = {**totals.metrics, **totals.balanced}, {**metrics, **kinds}
    assert list(totals.metrics) == list(metrics)
    for name, mean in slow.items():
        assert (found[name].mean, found[name].stderr, found[name].count) == (mean.mean, mean.stderr, mean.count)
    assert {name: (mean.mean, mean.count) for name, mean in totals.breakdown.items()} == {
        name: (mean.mean, mean.count) for name, mean in breakdown.items()
    }
    assert (totals.scored, totals.tied, totals.chance.mean) == (100, tied, chance.mean)


def test_a_deferred_mapping_is_made_once_and_is_like_any_other():
    made = []

    def make():
        made.append(1)
        return {"texts": ["a cat"], "scores": [0.5]}

    record = Deferred(make)
    assert not made
    assert record == {"texts": ["a cat"], "scores": [0.5]}
    assert ({**record}, len(record), record["scores"]) == (make(), 2, [0.5])
    assert pickle.loads(pickle.dumps(record)) == record
    assert repr(record) == "{'texts': ['a cat'], 'scores': [0.5]}"
    assert len(made) == 2  # once here
