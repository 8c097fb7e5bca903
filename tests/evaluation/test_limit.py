"""A limit is a number of samples, or a share of those that a task has."""

from types import SimpleNamespace

import pytest
from pydantic import ValidationError

import clipbench
from clipbench.errors import ConfigError
from clipbench.evaluation.data_report import sample_limit
from clipbench.evaluation.options import EvaluationOptions
from clipbench.results import read_results
from clipbench.results.schema import RunConfig
from tests.oracles import oracle
from tests.toy import write_toy

OWNERS = {"a white dog": 0, "a red car on the left": 1}


def task_of(samples, expected_n=None):
    return SimpleNamespace(samples=lambda source: iter(range(samples)), expected_n=expected_n)


@pytest.mark.parametrize(
    ("samples", "limit", "expected"),
    [
        (10, None, None), (10, 3, 3), (10, 0.1, 1), (10, 0.11, 2), (3, 0.01, 1), (10, 0.95, 10), (3910, 0.1, 391),
        (10, 0.7, 7),  # 0.7 * 10 is 7.000000000000001 in floats
        (1000, 0.001, 1), (0, 0.5, 0),
    ],
)  # fmt: skip
def test_a_share_is_one_of_the_samples_in_the_data_rounded_up(samples, limit, expected):
    assert sample_limit(task_of(samples, expected_n=7), None, limit) == expected


def test_a_share_of_streamed_data_is_one_of_the_samples_that_are_declared():
    def fetch(source):
        raise AssertionError("fetches everything")

    task = SimpleNamespace(samples=fetch, expected_n=3910)
    assert sample_limit(task, None, 0.1, streaming=True) == 391
    task.expected_n = None
    with pytest.raises(ConfigError, match=r"^limit 0.1: how many samples there are is unknown .* give a number"):
        sample_limit(task, None, 0.1, streaming=True)


def test_a_share_gives_what_the_number_gives(tmp_path):
    file = str(write_toy(tmp_path / "toy"))  # two of its captions name a color
    half = clipbench.evaluate(oracle("random", OWNERS), file, limit=0.5, output_path=tmp_path / "half")
    first = clipbench.evaluate(oracle("random", OWNERS), file, limit=1)
    found, expected = half.tasks["toy_color"], first.tasks["toy_color"]
    assert (found.metrics, found.counts, found.problems) == (expected.metrics, expected.counts, expected.problems)
    assert found.counts.effective == 1
    assert not found.complete
    (path,) = (tmp_path / "half").rglob("results_*.json")
    assert read_results(path).config.limit == 0.5
    (score,) = clipbench.build_leaderboard([tmp_path / "half"]).scores
    assert score.flags == ["limited"]


def test_results_with_a_limit(tmp_path):
    assert RunConfig.model_validate({"limit": 0.25}).limit == 0.25
    old = RunConfig.model_validate({"limit": 9})
    assert (old.limit, type(old.limit)) == (9, int)
    for limit in (1.5, 1.0, -0.1, True, "9"):
        with pytest.raises(ValidationError):
            RunConfig.model_validate({"limit": limit})


@pytest.mark.parametrize("limit", [0, -1, 1.0, 1.5, 0.0, -0.1, float("nan"), True, "0.1"])
def test_neither_a_number_nor_a_share(limit):
    with pytest.raises(ConfigError, match=r"^limit .*: give "):
        EvaluationOptions(limit=limit)
