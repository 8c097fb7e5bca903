"""What a fine-tuning gained and what it cost, with intervals over the same samples."""

import json

import numpy as np
import pytest

from clipbench.analysis.statistics import Interval
from clipbench.cli.training_report import hint_at_interpolation, print_changes
from clipbench.errors import ConfigError, ResultError
from clipbench.evaluation.options import EvaluationOptions
from clipbench.results import Measure, Results, TaskResult
from clipbench.training.checkpoints import checkpoints_in
from clipbench.training.events import Checkpoint
from clipbench.training.gains import Change, SumsByCluster, find_changes
from clipbench.training.options import FinetuneOptions
from clipbench.types import SampleResult


def results(**values):
    tasks = {
        name: TaskResult(
            task_type="retrieval" if "retrieval" in name else "ranking",
            primary_metric="acc",
            metrics={"acc": Measure(value)},
        )
        for name, value in values.items()
    }
    return Results(tasks=tasks)


def sums(rights):
    """Per-image sums of samples, given as ``[(image, right), …]``, as a run adds them up."""
    added = SumsByCluster({"toy": "acc"})
    for number, (image, right) in enumerate(rights):
        added.add("toy", SampleResult(str(number), {"acc": float(right)}, bool(right), 0.5, False, "", image))
    added.add("toy", SampleResult("i2t", {"other": 1.0}, True, 0.5, False, "", "a"))  # not counted by the metric
    return added.sums


BASE = [("a", 0), ("a", 0), ("b", 1), ("c", 0), ("d", 1), ("d", 1)]
TRAINED = [("a", 1), ("a", 1), ("b", 1), ("c", 1), ("d", 1), ("d", 0)]


def test_samples_are_added_up_by_image():
    assert sums(BASE) == {"toy": {"a": (0.0, 2), "b": (1.0, 1), "c": (0.0, 1), "d": (2.0, 2)}}


def test_the_interval_is_that_of_resampled_images():
    (change,) = find_changes(results(toy=3 / 6), results(toy=5 / 6), sums(BASE), sums(TRAINED))
    assert change.difference == pytest.approx(2 / 6)
    assert change.interval.difference == pytest.approx(2 / 6)
    differences, sizes, random = np.array([2, 0, 1, -1]), np.array([2, 1, 1, 2]), np.random.default_rng(5)
    drawn = random.integers(0, 4, (20_000, 4))  # the slow way: images with replacement
    slow = np.quantile(differences[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [0.025, 0.975])
    assert [change.interval.low, change.interval.high] == pytest.approx(slow, abs=0.05)
    assert change.verdict == "not clear"


def test_other_samples_give_no_interval():
    (change,) = find_changes(results(toy=3 / 6), results(toy=5 / 6), sums(BASE[:-1]), sums(TRAINED))
    assert (change.interval, change.verdict) == (None, "")
    (change,) = find_changes(results(toy=3 / 6), results(toy=5 / 6), {}, sums(TRAINED))
    assert change.interval is None
    assert find_changes(results(other=0.5), results(toy=0.5), {}, {}) == []


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.2, "better"), (-0.2, -0.01, "worse"), (-0.1, 0, "not clear"), (0, 0, "not clear")],
)
def test_verdicts(low, high, verdict):
    assert change_of("toy", low, high).verdict == verdict


def change_of(task, low, high, *, retrieval=False):
    middle = (low + high) / 2
    return Change(task, "acc", 0.5, 0.5 + middle, Interval(middle, low, high, 0.1), retrieval)


def test_the_report_and_the_cure(capsys, tmp_path):
    changes = [change_of("scenes_color", 0.1, 0.2), change_of("scenes_retrieval", -0.2, -0.1, retrieval=True)]
    print_changes(changes)
    options = EvaluationOptions(data={"coco": "a b"}, limit=7)
    hint_at_interpolation(changes, "demo", tmp_path / "out", options)
    out, err = capsys.readouterr()
    assert all(len(line) <= 80 for line in out.splitlines())
    assert out.splitlines()[-1].split() == [
        "scenes_retrieval", "0.5000", "0.3500", "-0.1500", "-0.2000", "…", "-0.1000", "worse",
    ]  # fmt: skip
    command = (
        f"clipbench interpolate demo {tmp_path}/out --tasks scenes_color,scenes_retrieval --data 'coco=a b' --limit 7"
        f" --output_path {tmp_path}/out-between"
    )
    assert command in err
    assert "scenes_retrieval lost 0.1500" in err


@pytest.mark.parametrize(
    ("change", "base"),
    [
        (change_of("scenes_retrieval", -0.2, 0.1, retrieval=True), "demo"),
        (change_of("scenes_color", -0.2, -0.1), "demo"),
        (change_of("scenes_retrieval", -0.2, -0.1, retrieval=True), None),
    ],
)
def test_no_cure_where_nothing_fell_or_none_is_known(capsys, tmp_path, change, base):
    hint_at_interpolation([change], base, tmp_path, EvaluationOptions())
    assert capsys.readouterr().err == ""


def test_a_run_says_it_again_when_it_is_started_again(start, tmp_path):
    fields = {"eval_tasks": "scenes_color", "eval_limit": 12, "checkpoint_every": 1 / 3}
    found = []
    for _ in range(2):
        run = start(tmp_path, **fields)
        list(run.run())
        found.append(run.changes)
    assert found[0] == found[1]
    (change,) = found[0]
    assert change.interval.difference == pytest.approx(change.difference)
    assert json.loads((tmp_path / "finetune.json").read_text())["changes"] == [json.loads(json.dumps(change.as_dict()))]
    (tmp_path / "evaluations/clusters-000003.json").write_text("[1]")
    with pytest.raises(ResultError, match=r"clusters-000003.json: cannot be read"):
        run.setup.scores.changes(3)
    for old in (tmp_path / "evaluations").glob("clusters-*"):  # a run of an earlier version
        old.unlink()
    assert [change.interval for change in run.setup.scores.changes(3)] == [None]


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({}, [1, 2, 3]),
        ({"eval_tasks": "scenes_inpaint_object"}, [2, 3]),
        ({"eval_tasks": "scenes_inpaint_object", "keep": "all"}, [1, 2, 3]),
        ({"eval_tasks": "scenes_inpaint_object", "eval_limit": 4}, [1, 2, 3]),  # the scores are not the whole story
        ({"keep": 1}, [3]),
    ],
    ids=str,
)
def test_what_is_kept(start, tmp_path, fields, kept, monkeypatch):
    monkeypatch.setattr("clipbench.training.checkpoint_scores.CheckpointScores.score", lambda *arguments: None)
    run = start(tmp_path, checkpoint_every=1 / 3, **fields)
    assert [event.step for event in run.run() if isinstance(event, Checkpoint)] == [1, 2, 3]
    assert [int(path.name[-6:]) for path in checkpoints_in(tmp_path)] == kept


@pytest.mark.parametrize("keep", [0, "two", 1.5])
def test_what_keep_cannot_be(keep):
    with pytest.raises(ConfigError, match="keep"):
        FinetuneOptions(keep=keep)
