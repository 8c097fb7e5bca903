import json
import os
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
from clipbench.results.sample_log import logged_samples, samples_at
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


def test_folders_that_stay_empty_are_removed_and_others_are_not(tmp_path):
    (tmp_path / "there").mkdir()
    place = ResultsDirectory(tmp_path / "there/new", "a/b", datetime.now())
    place.create()
    assert (tmp_path / "there/new/a__b").is_dir()
    place.remove_empty()
    assert list((tmp_path / "there").iterdir()) == []
    place.create()
    (tmp_path / "there/new/other").write_text("")
    place.remove_empty()
    assert [path.name for path in (tmp_path / "there/new").iterdir()] == ["other"]
    with pytest.raises(ConfigError, match="cannot be written to"):
        ResultsDirectory(tmp_path / "deep" / ("x" * 300), "a/b", datetime.now()).create()
    assert not (tmp_path / "deep").exists()


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


def stored(*path, value):
    """The file of ``results()`` with one value replaced."""
    data = json.loads(results().to_json())
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (stored("results", "color", "acc,none", value=1.5), r"results\.color\.acc is 1\.5, not a share between"),
        (stored("results", "color", "acc,none", value=-0.5), r"results\.color\.acc is -0\.5, not a share"),
        (stored("results", "color", "acc,none", value="0.5"), r"results\.color\.acc is '0\.5', not a share"),
        (stored("results", "color", "acc,none", value=True), r"results\.color\.acc,none"),
        (stored("results", "color", "acc,none", value=float("nan")), "NaN is not a number"),
        (stored("results", "color", "acc,none", value=0.5).replace("0.5", "1e999", 1), "1e999 is too large a number"),
        (stored("results", "color", "acc_stderr,none", value=-0.1), r"color\.acc: -0\.1 is not a standard error"),
        (stored("results", "color", "acc_stderr,none", value=float("inf")), "Infinity is not a number"),
        (stored("groups", "toys", "acc,none", value=2), r"groups\.toys\.acc is 2\.0, not a share"),
        (stored("n-samples", "color", "effective", value=-1), r"n-samples\.color\.effective: .* greater than or equal"),
        (stored("n-samples", "color", "effective", value=True), r"n-samples\.color\.effective: must be a whole number"),
        (stored("tasks", "color", "chance", value=float("nan")), "NaN is not a number"),
        (stored("tasks", "color", "chance", value=-0.25), r"tasks\.color\.chance: .* greater than or equal to 0"),
        (stored("tasks", "color", "chance", value=1.25), r"tasks\.color\.chance: .* less than or equal to 1"),
        (stored("tasks", "color", "expected_n", value=-5), r"tasks\.color\.expected_n: .* greater than or equal"),
        (stored("tasks", "color", "tied", value="3"), r"tasks\.color\.tied: must be a whole number"),
        (stored("tasks", "color", "complete", value="yes"), r"tasks\.color\.complete: must be true or false"),
        (stored("tasks", "color", "breakdown", "red", "n", value=-1), r"tasks\.color\.breakdown\.red\.n"),
        (stored("tasks", "color", "breakdown", "red", "value", value=7), r"tasks\.color\.breakdown\.red\.value"),
        (stored("date", value=-1), "date: "),
        (stored("date", value=10**400), "a whole number of 401 digits"),
        (stored("model_name", value="\ud800"), "a lone surrogate"),
        (stored("model_info", value=json.loads("[" * 60 + "]" * 60)), "nested more than 48 deep"),
        (stored("configs", "color", "hub", value="org/data"), r"configs\.color: hub: "),
        (stored("tasks", "a/b", value={"task_type": "pairs", "primary_metric": "acc"}), "tasks.a/b: not a task name"),
        (stored("tasks", "x" * 300, value={"task_type": "pairs", "primary_metric": "acc"}), "longer than 200 bytes"),
        (stored("tasks", value={}), r"results\.color: `tasks` has no entry for this task"),
        (results().to_json().replace('"acc,none": 0.625', '"acc,none": 0.625, "acc,none": 0.9', 1),
         "the key 'acc,none' appears twice"),
    ],
)  # fmt: skip
def test_what_no_run_gives_is_refused_by_field(tmp_path, text, message):
    path = tmp_path / "results_x.json"
    path.write_text(text)
    with pytest.raises(ResultError, match=message) as caught:
        read_results(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < len(str(path)) + 300


def test_lm_evals_word_for_no_standard_error(tmp_path):
    (tmp_path / "r.json").write_text(stored("results", "color", "acc_stderr,none", value="N/A"))
    assert read_results(tmp_path / "r.json").tasks["color"].metrics["acc"] == Measure(0.625, None)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_or_a_folder_is_no_result_file_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "results_pipe.json")
    (tmp_path / "results_folder.json").mkdir()
    for name in ("results_pipe.json", "results_folder.json"):
        with pytest.raises(ResultError, match="[Nn]ot a regular file|Is a directory"):
            read_results(tmp_path / name)


def log(tmp_path, *samples):
    (tmp_path / "samples_t_1.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in samples))
    return list(logged_samples(tmp_path / "results_1.json", "t"))


GOOD = {"doc_id": "1", "group": "red", "images": ["a"], "texts": ["x", "y"], "scores": [0.2, 0.1], "correct": True}


def test_a_repeated_sample_is_refused_with_both_lines(tmp_path):
    assert [sample.id for sample in log(tmp_path, GOOD, {**GOOD, "doc_id": "2"})] == ["1", "2"]
    with pytest.raises(ResultError, match=r"samples_t_1\.jsonl:3: sample '1' appears twice, also in line 1"):
        log(tmp_path, GOOD, {**GOOD, "doc_id": "2"}, GOOD)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("doc_id", {"a": 1}, "`doc_id` is {'a': 1}, not a text"),
        ("images", [], "`images` is \\[\\], not a list of texts"),
        ("texts", ["x", 2], "not a list of texts"),
        ("scores", [0.2], "`scores` are not 1 x 2"),
        ("scores", [[0.2, 0.1], [0.1, 0.2]], "`scores` are not 1 x 2"),
        ("scores", [0.2, "0.1"], "`scores` hold '0.1', not a number"),
        ("scores", [0.2, float("nan")], "not a JSON line: NaN is not a number"),
        ("scores", [0.2, 1e300], "`scores` hold 1e\\+300"),
        ("correct", "false", "`correct` is 'false', not true or false"),
        ("correct", 0.5, "`correct` is 0.5, not true or false"),
        ("group", None, "`group` is None, not a text"),
    ],
)
def test_a_line_of_wrong_types_is_refused_by_field(tmp_path, field, value, message):
    with pytest.raises(ResultError, match=rf"samples_t_1\.jsonl:1: .*{message}"):
        log(tmp_path, {**GOOD, field: value})


def test_a_sample_is_read_again_by_its_offset(tmp_path):
    samples = log(tmp_path, *({**GOOD, "doc_id": name, "group": "é" * n} for n, name in enumerate("abc")))
    path = tmp_path / "results_1.json"
    assert list(samples_at(path, "t", [samples[2].offset, samples[0].offset])) == [samples[0], samples[2]]
    with pytest.raises(ResultError, match=r"samples_t_1\.jsonl: at byte 3: not a JSON line"):
        list(samples_at(path, "t", [3]))
    (tmp_path / "samples_t_1.jsonl").unlink()
    with pytest.raises(ResultError, match=r"samples_t_1\.jsonl: cannot be read: No such file"):
        list(samples_at(path, "t", [0]))


def test_a_line_may_be_wide_but_not_deep(tmp_path):
    (sample,) = log(tmp_path, {**GOOD, "parts": [[]] * 100})
    assert len(sample.values["parts"]) == 100
    deep = []
    for _ in range(46):  # with the line itself, 48
        deep = [deep]
    assert log(tmp_path, {**GOOD, "parts": deep})
    with pytest.raises(ResultError, match="nested more than 48 deep"):
        log(tmp_path, {**GOOD, "parts": [deep]})
