import json
from dataclasses import replace
from datetime import datetime

import pytest

from clipbench.errors import ConfigError, ResultError
from clipbench.results import (
    BreakdownEntry,
    GroupResult,
    Interpolation,
    Measure,
    Results,
    ResultsDirectory,
    RunConfig,
    SampleCounts,
    StudyStep,
    TaskResult,
    read_results,
    sanitize,
)
from clipbench.results.files import logged_runs, samples_path
from clipbench.results.sample_log import logged_samples
from clipbench.types import SampleResult

OUTCOME = SampleResult("7", {"acc": 1.0}, True, 1 / 9, False, "white", "photo 3", {"texts": ["a"], "scores": [0.5]})


def folder(tmp_path):
    return ResultsDirectory(tmp_path, "org/name", datetime(2024, 3, 5, 12, 30, 1, 5))


def test_file_names_are_lm_evals(tmp_path):
    assert sanitize("open_clip:ViT-B-32/laion2b") == "open_clip__ViT-B-32__laion2b"
    path = folder(tmp_path).write(Results())
    assert path == tmp_path / "org__name/results_2024-03-05T12-30-01.000005.json"
    assert read_results(path) == Results()


NAMES = [
    "a/b", "a__b", "a:b", "a b", "a  b", "a_/b", "a/_b", "/a/b", "//a/b", "..", ".", "", "../p/tiny", "./tiny", "tiny",
    "tiny/", "p/tiny", "a\\b", "C:\\b", "open_clip:a/b", "open_clip/a/b", "hf:a/b", "open_clip:hf-hub:a/b",
    "x" * 300, "x" * 301, "/".join("xy" * 90), "é" * 200, "a\nb", "\udcff/b", "a__b-e2fa8344",
]  # fmt: skip


def test_no_two_models_share_a_folder_and_none_is_outside(tmp_path):
    assert sanitize("/tmp/models/tiny-clip") == "__tmp__models__tiny-clip"
    assert sanitize("a__b").startswith("a__b-")
    folders = [ResultsDirectory(tmp_path / "out", name, datetime.now()) for name in NAMES]
    assert not (tmp_path / "out").exists(), "nothing is made before something is written"
    for name, place in zip(NAMES, folders, strict=True):
        if "\udcff" not in name:
            place.write(Results(model_name=name))
            with place.samples("t") as take:
                take(OUTCOME)
    made = [place.path.resolve() for place in folders]
    assert len(set(made)) == len(NAMES)
    assert {path.parent for path in made} == {(tmp_path / "out").resolve()}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not [path for path in made if path.name.startswith(".")]


def test_a_sample_log_belongs_to_its_results_whatever_the_task_is_called(tmp_path):
    place = folder(tmp_path)
    path = place.write(Results())
    for task in ("t", "results_t", "t.json", "samples_t"):
        with place.samples(task) as take:
            take(OUTCOME)
        assert samples_path(path, task).is_file()
        assert logged_runs(samples_path(path, task)) == {task: path}


def test_the_samples_of_two_models_in_one_folder_are_not_one_run(tmp_path):
    for minute, model in enumerate(["a/b", "a__b"]):
        place = ResultsDirectory(tmp_path, "a/b", datetime(2024, 1, 1, 0, minute))
        place.write(Results(model_name=model))
        with place.samples(f"t{minute}") as take:
            take(OUTCOME)
    with pytest.raises(ResultError, match=r"samples of several models \(a/b, a__b\)"):
        logged_runs(tmp_path / "a__b")


def test_half_a_character_and_a_value_that_json_lacks_cost_no_more_than_themselves(tmp_path):
    place = folder(tmp_path)
    odd = replace(OUTCOME, record={"texts": ["half \ud800"], "scores": [0.5], "images": ["i"]})
    with place.samples("t") as take:
        take(odd)
    assert [sample.texts for sample in logged_samples(place.results_path, "t")] == [("half \ud800",)]
    with pytest.raises(ResultError, match="sample 7 cannot be logged"), place.samples("t") as take:
        take(replace(OUTCOME, record={"value": object()}))
    with pytest.raises(ResultError, match="cannot be written"):
        place.write(Results(model_name="half \ud800"))


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
        "acc": 1.0, "correct": True, "tied": False,
    }  # fmt: skip


def test_old_results_survive_a_failed_write(tmp_path, monkeypatch):
    path = folder(tmp_path).write(Results(model_name="old"))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResultError, match="No space left on device"):
        folder(tmp_path).write(Results(model_name="new"))
    assert read_results(path).model_name == "old"
    assert list(path.parent.iterdir()) == [path]


def results():
    """A ranking, a failed task, and a group with a mean."""
    color = TaskResult(
        task_type="ranking", primary_metric="acc", version=2, chance=0.25, complete=True, tied=3,
        metrics={"acc": Measure(0.625, 0.01), "macro_acc": Measure(0.5)},
        higher_is_better={"acc": True, "macro_acc": True}, counts=SampleCounts(original=9, effective=8),
        breakdown={"red": BreakdownEntry(n=8, value=0.625)}, declaration={"dataset": "toy"},
    )  # fmt: skip
    gone = TaskResult(task_type="pairs", primary_metric="acc", higher_is_better={"acc": True}, error="gone: no data")
    group = GroupResult(tasks=["color"], metric="acc", mean=Measure(0.625, 0.01))
    return Results(
        model_name="org/name", tasks={"color": color, "gone": gone}, interrupted=True, profile={"images": 3},
        groups={"toys": group, "mixed": GroupResult(tasks=["color", "gone"], complete=False)},
        interpolation=Interpolation(base="a", finetuned="b", alpha=0.5, inputs="c"),
        study_step=StudyStep(hash="d", inputs={"step": 0}), config=RunConfig(limit=9, seed=1),
    )  # fmt: skip


def test_the_file_has_lm_evals_layout():
    stored = json.loads(results().to_json())
    assert stored["results"] == {
        "color": {
            "alias": "color", "acc,none": 0.625, "acc_stderr,none": 0.01, "macro_acc,none": 0.5,
            "macro_acc_stderr,none": None, "acc_chance_corrected,none": 0.5,
        },
        "gone": {"alias": "gone"},
    }  # fmt: skip
    assert stored["groups"] == {"toys": {"alias": "toys", "acc,none": 0.625, "acc_stderr,none": 0.01}}
    assert stored["group_subtasks"] == {"toys": ["color"], "mixed": ["color", "gone"]}
    assert stored["n-samples"]["color"] == {"original": 9, "effective": 8}
    assert stored["versions"] == {"color": 2, "gone": 1}
    assert stored["higher_is_better"]["color"] == {"acc": True, "macro_acc": True}
    assert stored["configs"]["color"] == {"dataset": "toy"}
    assert stored["model_name_sanitized"] == "org__name"
    assert (stored["config"]["limit"], stored["config"]["seed"]) == (9, 1)


def test_everything_comes_back_from_the_file(tmp_path):
    assert read_results(folder(tmp_path).write(results())) == results()


def test_a_table_has_a_row_per_metric():
    table = results().to_dataframe()
    assert table[["task", "metric", "n", "primary", "complete"]].to_numpy().tolist() == [
        ["color", "acc", 8, True, True], ["color", "macro_acc", 8, False, True], ["gone", "acc", 0, True, False],
    ]  # fmt: skip
    assert table["value"].tolist()[:2] == [0.625, 0.5]
    assert table["chance"].isna().tolist() == [False, True, True]
    assert table["stderr"].isna().tolist() == [False, True, True]
    assert table["value"].isna().tolist() == [False, False, True]
    assert table["error"].tolist()[2] == "gone: no data"
    assert list(Results().to_dataframe().columns) == list(table.columns)


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written to"):
        folder(tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"results": {', "not a readable result file"),
        ('{"results": {}, "lm_eval_version": "0.4"}', "no schema_version"),
        ('{"schema_version": 99}', "schema version 99, this clipbench reads 1 to 2"),
        ('{"schema_version": 1, "versions": {"a": "x"}}', "versions.a"),
        ('{"schema_version": 1, "surprise": 1}', "surprise"),
        ('{"schema_version": 2, "versions": {"a": "x"}}', "versions.a"),
        ('{"schema_version": 1, "config": {"model_facts": "none"}}', "not the content of schema version 1"),
        ('{"schema_version": 1, "tasks": []}', "not the content of schema version 1"),
        ("[]", "not a clipbench result file"),
    ],
)
def test_foreign_and_broken_files_are_refused_by_name(tmp_path, text, message):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ResultError, match=message) as caught:
        read_results(path)
    assert str(path) in str(caught.value)
