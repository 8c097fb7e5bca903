"""Differences of two models over the samples that both scored."""

import json
import math
from pathlib import Path

import pytest

from clipbench.errors import ResultError
from clipbench.reproduce.paired import paired_difference

SAMPLES = [  # id, image, keyword, right by the first model, right by the second
    ("1", "a", "red", 1, 0),
    ("2", "a", "red", 1, 1),
    ("3", "b", "red", 0, 1),
    ("4", "b", "blue", 1, 0),
    ("5", "c", "blue", 1, 0),
    ("6", "d", "red", 0, 0),
]


def write(folder: Path, name: str, column: int, samples=SAMPLES, metric="acc") -> Path:
    lines = [
        {
            "doc_id": sample[0], "task": "t", "group": sample[2], "cluster": sample[1], "images": [sample[1]],
            "texts": ["x", "y"], "scores": [0.1, 0.2], metric: float(sample[column]), "correct": bool(sample[column]),
            "tied": False,
        }
        for sample in samples
    ]  # fmt: skip
    (folder / f"samples_t_{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / f"{name}.json"


def test_a_difference_is_paired_and_clustered_by_image(tmp_path):
    files = write(tmp_path, "one", 3), write(tmp_path, "two", 4)
    value, stderr = paired_difference(*files, "t", "ranking", "acc")
    differences = {"a": [1, 0], "b": [-1, 1], "c": [1], "d": [0]}
    mean = 2 / 6
    squares = sum((sum(each) - len(each) * mean) ** 2 for each in differences.values())
    assert value == pytest.approx(mean)
    assert stderr == pytest.approx(math.sqrt(4 / 3 * squares) / 6)


def test_a_difference_averaged_over_keywords_weighs_them_alike(tmp_path):
    files = write(tmp_path, "one", 3), write(tmp_path, "two", 4)
    value, stderr = paired_difference(*files, "t", "ranking", "acc_balanced")
    assert value == pytest.approx(((1 + 0 - 1 + 0) / 4 + (1 + 1) / 2) / 2)
    # red: a contributes 1, b -1, d 0 around a mean of 0, of three clusters; blue: all equal to their mean.
    expected = math.sqrt(((1 / 4) ** 2 + (1 / 4) ** 2) * 3 / 2) / 2
    assert stderr == pytest.approx(expected)
    assert paired_difference(files[1], files[0], "t", "ranking", "acc_balanced")[0] == pytest.approx(-value)


def test_equal_models_differ_by_nothing(tmp_path):
    one = write(tmp_path, "one", 3)
    assert paired_difference(one, one, "t", "ranking", "acc") == (0.0, 0.0)


def test_logs_of_other_samples_or_none_are_refused(tmp_path):
    one, other = write(tmp_path, "one", 3), write(tmp_path, "other", 4, SAMPLES[:-1])
    with pytest.raises(ResultError, match="do not hold the same samples"):
        paired_difference(one, other, "t", "ranking", "acc")
    with pytest.raises(ResultError, match="does not exist"):
        paired_difference(one, tmp_path / "absent.json", "t", "ranking", "acc")
