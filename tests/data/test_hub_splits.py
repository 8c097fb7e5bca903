from __future__ import annotations

from typing import Any

import pytest

from clipbench.data.hub_splits import split_files
from clipbench.errors import DataError


def files(*names: str, card: Any = None, config: str | None = None, split: str = "test") -> list[str]:
    return split_files(names, card, config=config, split=split, where="a/b")


def card(*configs: dict[str, Any]) -> dict[str, Any]:
    return {"configs": list(configs)}


CASES = {
    "hub style": (
        ["data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet", "README.md"],
        [0],
    ),
    "shards in order": (["data/test-00001-of-00002.parquet", "data/test-00000-of-00002.parquet"], [1, 0]),
    "folders": (["test/0.parquet", "train/0.parquet"], [0]),
    "plain names": (["test.parquet", "train.parquet"], [0]),
    "another word for it": (["eval.parquet", "train.parquet"], [0]),
    "a word of a name": (["my_test_1.parquet", "my_train_1.parquet"], [0]),
    "no splits": (["b.parquet", "a.parquet"], [1, 0]),
    "numbered parts": (["part-00001-of-00002.parquet", "part-00000-of-00002.parquet"], [1, 0]),
    "no parquet": (["a.csv", "README.md"], []),
    "a hash in the name": (["data/test-00000-of-00001-0a1b2c3d4e5f.parquet"], [0]),
}


@pytest.mark.parametrize(("names", "expected"), CASES.values(), ids=CASES)
def test_splits_by_name(names: list[str], expected: list[int]) -> None:
    assert files(*names) == [names[index] for index in expected]


def test_val_and_validation_are_one_word() -> None:
    names = ["data/validation-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"]
    assert files(*names, split="val") == names[:1]
    readme = card({"data_files": [{"split": "validation", "path": "data/validation-*"}]})
    assert files(*names, split="val", card=readme) == names[:1]


def test_the_readme_comes_before_names() -> None:
    names = ["x/0.parquet", "x/1.parquet", "test/0.parquet"]
    readme = card({"config_name": "default", "data_files": [{"split": "test", "path": ["x/0*", "x/1*"]}]})
    assert files(*names, card=readme) == names[:2]
    assert files(*names, card=card({"data_files": {"test": "x/1.parquet"}})) == [names[1]]
    assert files(*names, card=card({"data_files": "x/*"}), split="train") == names[:2]
    assert files(*names, card=card({"data_dir": "x", "data_files": "0*"}), split="train") == names[:1]
    assert files(*names, card={"license": "mit"}) == [names[2]]


def test_configurations() -> None:
    names = ["a/0.parquet", "b/0.parquet"]
    two = [{"config_name": n, "data_files": [{"split": "test", "path": f"{n}/*"}]} for n in "ab"]
    assert files(*names, card=card(*two), config="b") == ["b/0.parquet"]
    assert files(*names, card=card(two[0], {**two[1], "default": True})) == ["b/0.parquet"]
    with pytest.raises(DataError, match="several configurations: name one; the configurations are: a, b"):
        files(*names, card=card(*two))
    with pytest.raises(DataError, match="no configuration 'c'; the configurations are: a, b"):
        files(*names, card=card(*two), config="c")


def test_a_missing_split_lists_what_there_is() -> None:
    names = ["data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"]
    with pytest.raises(DataError, match="a/b: no split 'test'; the splits are: train, validation"):
        files(*names)
    readme = card({"data_files": [{"split": "train", "path": "data/train-*"}]})
    with pytest.raises(DataError, match="a/b: no split 'test'; the splits are: train"):
        files(*names, card=readme)
    with pytest.raises(DataError, match=r"the README says that split 'test' is \['q-\*'\], but no file matches"):
        files(*names, card=card({"data_files": [{"split": "test", "path": "q-*"}]}))


def test_a_missing_shard_is_noticed() -> None:
    with pytest.raises(DataError, match=r"2 of 4 files missing, the first is data/test-00001-of-00004\.parquet"):
        files("data/test-00000-of-00004.parquet", "data/test-00003-of-00004.parquet")


def test_the_only_split_does_where_that_is_allowed() -> None:
    def lenient(*names: str, readme: Any = None, split: str = "test") -> list[str]:
        return split_files(names, readme, config=None, split=split, where="a/b", or_only=True)

    assert lenient("data/val-00000-of-00001.parquet") == ["data/val-00000-of-00001.parquet"]
    readme = card({"data_files": [{"split": "train", "path": "t*"}]})
    assert lenient("t.parquet", readme=readme) == ["t.parquet"]
    two = ["train.parquet", "test.parquet"]
    assert lenient(*two) == ["test.parquet"]
    with pytest.raises(DataError, match="several splits: name one; the splits are: test, train"):
        lenient(*two, split="")
