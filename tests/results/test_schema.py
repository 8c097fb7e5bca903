import json
from datetime import datetime

import pytest

from clipbench.errors import ConfigError, ResultError
from clipbench.results import Results, ResultsDirectory, read_results, sanitize, write_atomically
from clipbench.types import SampleResult

OUTCOME = SampleResult("7", {"acc": 1.0}, 1 / 9, False, "white", "photo 3", {"texts": ["a"], "scores": [0.5]})


def folder(tmp_path):
    return ResultsDirectory(tmp_path, "org/name", datetime(2024, 3, 5, 12, 30, 1, 5))


def test_file_names_are_lm_evals(tmp_path):
    assert sanitize("open_clip:ViT-B-32/laion2b") == "open_clip__ViT-B-32__laion2b"
    path = folder(tmp_path).write(Results())
    assert path == tmp_path / "org__name/results_2024-03-05T12-30-01.000005.json"
    assert read_results(path) == Results()


def test_nothing_half_written_is_left(tmp_path):
    place = folder(tmp_path)

    def half():
        with place.samples("t") as take:
            take(OUTCOME)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        half()
    assert list((tmp_path / "org__name").iterdir()) == []
    with place.samples("t") as take:
        take(OUTCOME)
    (file,) = (tmp_path / "org__name").iterdir()
    assert json.loads(file.read_text()) == {
        "doc_id": "7", "task": "t", "group": "white", "cluster": "photo 3", "texts": ["a"], "scores": [0.5],
        "acc": 1.0, "tied": False,
    }  # fmt: skip


def test_an_old_file_survives_a_failed_write(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_atomically(path, "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResultError, match="No space left on device"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written to"):
        folder(tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"results": {', "not a readable result file"),
        ('{"results": {}, "lm_eval_version": "0.4"}', "no schema_version"),
        ('{"schema_version": 99}', "schema version 99, this clipbench reads 1"),
        ('{"schema_version": 1, "versions": {"a": "x"}}', "versions.a"),
        ('{"schema_version": 1, "surprise": 1}', "surprise"),
        ("[]", "not a clipbench result file"),
    ],
)
def test_foreign_and_broken_files_are_refused_by_name(tmp_path, text, message):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ResultError, match=message) as caught:
        read_results(path)
    assert str(path) in str(caught.value)
