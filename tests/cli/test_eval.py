import json

import jsonschema
import pytest

from clipbench.results import read_results
from clipbench.results.schema import ResultsFile
from tests.toy import write_toy

PLUGIN = """
from clipbench.task_types import RankingTask
from clipbench.data import Dataset

class Interrupted(RankingTask):
    name = "interrupted"
    concept = "color"
    dataset = Dataset("interrupted", None, path={path!r})

    def score_sample(self, sample, similarities):
        raise KeyboardInterrupt
"""


def test_results_and_samples_in_lm_evals_layout(run, tiny_clip, tmp_path):
    out = tmp_path / "out"
    code, printed, _ = run(
        "eval", "--model", tiny_clip, "--tasks", write_toy(tmp_path / "toy"), "--output_path", out, "--log_samples",
        "--format", "json",
    )  # fmt: skip
    assert code == 0
    (folder,) = out.iterdir()
    assert folder.name == str(tiny_clip).replace("/", "__")
    (results_file,) = folder.glob("results_*.json")
    (samples_file,) = folder.glob("samples_toy_color_*.jsonl")
    stored = json.loads(results_file.read_text())
    assert stored == json.loads(printed)
    row = stored["results"]["toy_color"]
    assert {"alias", "acc,none", "acc_stderr,none"} <= row.keys()
    for key in ("results", "groups", "configs", "versions", "n-samples", "higher_is_better", "config", "git_hash",
                "date", "pretty_env_info", "schema_version"):  # fmt: skip
        assert key in stored
    assert stored["model_info"]["library"]
    assert stored["n-samples"]["toy_color"] == {"original": 2, "effective": 2}
    lines = [json.loads(line) for line in samples_file.read_text().splitlines()]
    assert len(lines) == 2
    for line in lines:
        assert {"doc_id", "task", "texts", "scores", "acc", "tied"} <= line.keys()
        assert len(line["texts"]) == len(line["scores"]) == 9
        assert line["acc"] == (line["scores"][0] > max(line["scores"][1:]))
    assert lines[0]["texts"][0] == "a white dog"
    assert row["acc,none"] == sum(line["acc"] for line in lines) / 2
    jsonschema.validate(stored, ResultsFile.model_json_schema(by_alias=True))
    assert read_results(results_file).metric("toy_color", "acc") == row["acc,none"]
    assert not [file for file in folder.iterdir() if file.suffix == ".part"]


@pytest.mark.parametrize("style", ["table", "markdown"])
def test_a_table_when_piped_is_plain(run, tiny_clip, tmp_path, style):
    code, out, err = run("run", "-M", tiny_clip, "-t", write_toy(tmp_path), "--format", style, "--batch-size", 2)
    assert code == 0
    assert "toy_color" in out
    assert "\x1b" not in out + err
    assert ("|" in out) == (style == "markdown")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--tasks", "coco_colour"], 2, "did you mean coco_color"),
        (["--tasks", "coco", "--batch_size", "0"], 2, "--batch_size 0: give a positive number or auto"),
        (["--tasks", "coco", "--batch_size", "many"], 2, "give a positive number or auto"),
        (["--tasks", "coco", "--data", "coco"], 2, "--data coco: write NAME=VALUE"),
        (["--tasks", "coco", "--data", "coco=/nowhere"], 1, "/nowhere"),
        (["--tasks", "coco", "--format", "yaml"], 2, "'yaml' is not one of"),
        (["--tasks", "coco", "--limits", "3"], 2, "--limit"),
        (["--tasks", "coco", "--limit", "0"], 2, "'0' is neither a whole number of samples nor a share of them"),
        (["--tasks", "coco", "--log_samples"], 2, "--log_samples needs --output_path"),
        (["--tasks", "coco", "--model_args", "{x"], 2, "not JSON"),
        (["--tasks", "sbu_color"], 1, "sbu-captions-all.json"),
    ],
)
def test_bad_usage_is_one_line(run, arguments, code, message):
    found, out, err = run("eval", "--model", "no/such-model", *arguments)
    assert (found, out) == (code, "")
    assert message in err


def test_an_unwritable_place_is_found_before_the_model_is_looked_at(run, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run("eval", "-M", "no/such", "-t", write_toy(tmp_path / "toy"), "-o", tmp_path / "file/out")
    assert code == 2
    assert "cannot be written to" in err
    code, _, err = run("eval", "-M", "no/such", "-t", write_toy(tmp_path / "toy"), "-o", tmp_path / "out.json")
    assert "give a directory" in err


def test_a_model_that_is_not_there(run, tmp_path):
    code, out, err = run("eval", "-M", tmp_path / "no-model", "-t", write_toy(tmp_path))
    assert (code, out) == (1, "")
    assert "no-model" in err
    assert err.count("\n") == 1


def test_missing_data_stops_before_the_model_and_says_how_to_go_on(run, tmp_path):
    file = write_toy(tmp_path)
    (tmp_path / "0.png").unlink()
    code, _, err = run("eval", "-M", "no/such-model", "-t", file)
    assert code == 1
    assert "1 of 2 images missing (0.png); pass --allow_missing" in err


def test_a_failed_task_makes_the_exit_code_1_and_keeps_the_others(run, tiny_clip, tmp_path):
    good, bad = write_toy(tmp_path / "good"), write_toy(tmp_path / "bad", name="bad_color", expected_n=7)
    code, out, err = run("eval", "-M", tiny_clip, "-t", f"{bad},{good}", "-o", tmp_path / "out", "--format", "json")
    assert code == 1
    assert "bad_color: 2 samples where 7 are expected" in err
    stored = json.loads(out)
    assert stored["results"]["toy_color"]["acc,none"] is not None
    assert stored["tasks"]["bad_color"]["error"]


def test_ctrl_c_keeps_the_finished_tasks(run, tiny_clip, tmp_path):
    good = write_toy(tmp_path / "toy")
    (tmp_path / "plugin.py").write_text(PLUGIN.format(path=str(tmp_path / "toy/toy.csv")))
    code, _, err = run(
        "eval", "-M", tiny_clip, "-t", f"{good},interrupted", "--include_path", tmp_path / "plugin.py",
        "-o", tmp_path / "out", "-s",
    )  # fmt: skip
    assert code == 130
    assert "interrupted" in err
    (results,) = (read_results(path) for path in (tmp_path / "out").rglob("results_*.json"))
    assert results.interrupted is True
    assert results.config.tasks == ["toy_color", "interrupted"]
    assert list(results.tasks) == ["toy_color"]
    assert [path.name.split("_2")[0] for path in (tmp_path / "out").rglob("*.jsonl")] == ["samples_toy_color"]


def test_ctrl_c_before_a_task_is_done_writes_nothing(run, tiny_clip, tmp_path):
    write_toy(tmp_path / "toy")
    (tmp_path / "plugin.py").write_text(PLUGIN.format(path=str(tmp_path / "toy/toy.csv")))
    code, out, err = run(
        "eval", "-M", tiny_clip, "-t", "interrupted", "--include_path", tmp_path / "plugin.py", "-o", tmp_path / "out"
    )
    assert (code, out) == (130, "")
    assert "interrupted before a task was finished" in err
    assert not list((tmp_path / "out").rglob("results_*"))


def test_results_that_cannot_be_written_are_printed_all_the_same(run, tiny_clip, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    first, second = write_toy(tmp_path / "a", name="first"), write_toy(tmp_path / "b", name="second")
    code, out, err = run("eval", "-M", tiny_clip, "-t", f"{first},{second}", "-o", tmp_path / "out", "--format", "json")
    assert code == 1
    assert json.loads(out)["results"].keys() == {"first", "second"}
    assert "No space left on device" in err


def test_the_results_hold_what_was_asked_for(run, tiny_clip, tmp_path):
    _, out, _ = run("eval", "-M", tiny_clip, "-t", write_toy(tmp_path), "--dtype", "float32", "--format", "json")
    stored = json.loads(out)
    config = stored["config"]
    assert config["tasks"] == ["toy_color"]
    assert config["model_args"]["dtype"] == "float32"
    assert len(stored["model_fingerprint"]) == 64


def test_a_config_file_sets_defaults_that_flags_override(run, tiny_clip, tmp_path):
    file = write_toy(tmp_path)
    config = tmp_path / "run.yaml"
    config.write_text(f"model: {tiny_clip}\ntasks: [{file}]\nlimit: 1\nformat: json\n")
    _, out, _ = run("eval", "-C", config)
    assert json.loads(out)["config"]["limit"] == 1
    _, out, _ = run("eval", "-C", config, "--limit", 2)
    assert json.loads(out)["config"]["limit"] == 2
    config.write_text(f"model: {tiny_clip}\ntasks: toy_color\ninclude_path: {file}\nformat: json\n")
    code, _, err = run("eval", "-C", config)
    assert code == 0, err
    config.write_text("limit: many\n")
    code, _, err = run("eval", "-C", config)
    assert code == 2
    assert "run.yaml: limit: 'many' is neither a whole number of samples nor a share" in err
    config.write_text("taks: coco\n")
    code, _, err = run("eval", "-C", config)
    assert code == 2
    assert "unknown flag 'taks' (did you mean tasks?)" in err


def test_lm_evals_way_to_name_a_model(run, tiny_clip, tmp_path):
    code, out, _ = run(
        "eval", "--model", "hf", "--model_args", f"pretrained={tiny_clip},dtype=float32",
        "--tasks", write_toy(tmp_path), "--format", "json",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["model_name"] == str(tiny_clip)


def test_python_and_command_line_agree(run, tiny_clip, tmp_path):
    import clipbench

    file = write_toy(tmp_path)
    _, out, _ = run("eval", "-M", tiny_clip, "-t", file, "--format", "json")
    results = clipbench.evaluate(str(tiny_clip), str(file))
    stored, ours = json.loads(out), json.loads(results.to_json())
    assert ours["results"] == stored["results"]
    assert results.metric("toy_color", "acc") == stored["results"]["toy_color"]["acc,none"]


def test_profile_says_where_the_time_went(run, tiny_clip, tmp_path):
    task = write_toy(tmp_path)
    code, out, err = run("eval", "-M", tiny_clip, "-t", task, "--profile", "--format", "json")
    assert code == 0
    profile = json.loads(out)["profile"]
    assert {"read", "decode", "image tower", "text tower", "score"} <= profile["seconds"].keys()
    assert (profile["images"], profile["texts"], profile["texts_asked"]) == (2, 18, 18)
    assert 0 < profile["tokens"] < profile["tokens_asked"]
    for words in ("text tower", "2 images encoded", "18 texts encoded of 18 asked for", "tokens computed, of"):
        assert words in err
    assert json.loads(run("eval", "-M", tiny_clip, "-t", task, "--format", "json")[1])["profile"] is None


@pytest.mark.parametrize("full", [["samples_"], ["results_"], [".unfinished", "samples_", "results_"]])
def test_numbers_are_shown_whatever_cannot_be_written(run, tiny_clip, tmp_path, full_disk, full):
    full_disk += full
    task = write_toy(tmp_path / "toy")
    code, out, err = run("eval", "-M", tiny_clip, "-t", task, "-o", tmp_path / "out", "-s")
    assert code == 1
    assert err.count("No space left on device") == len(full)
    assert "toy_color" in out
    assert "2/2" in out
    assert "failed" not in out
    written = {path.name.partition("_")[0] for path in (tmp_path / "out").rglob("*_*") if path.stat().st_size}
    assert {"samples", "results"} & written == {"samples", "results"} - {name.strip("_") for name in full}


def test_a_folder_of_results_is_not_taken_for_the_model(run, tmp_path, monkeypatch):
    task = write_toy(tmp_path / "toy")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        code, _, err = run("eval", "-M", "demo", "-t", task, "-o", ".")
        assert code == 0, err
    assert len(list((tmp_path / "demo").glob("results_*.json"))) == 2
    (tmp_path / "gpt9").mkdir()
    (tmp_path / "gpt9/results_2024-01-01T00-00-00.000000.json").write_text("{}")
    _, _, err = run("eval", "-M", "gpt9", "-t", task)
    assert "holds no checkpoint" not in err, "a hub id is looked for on the hub"


@pytest.mark.parametrize("name", ["no-model", "demo:other"])
def test_a_run_that_fails_leaves_no_folder(run, tmp_path, name):
    model = name if ":" in name else tmp_path / name
    task = write_toy(tmp_path / "toy")
    assert run("eval", "-M", model, "-t", task, "-o", tmp_path / "out/deep")[0] in (1, 2)
    (tmp_path / "toy/0.png").unlink()
    assert run("eval", "-M", "demo", "-t", task, "-o", tmp_path / "out/deep")[0] == 1
    assert not (tmp_path / "out").exists()


def test_the_folder_of_a_model_is_below_the_output_path(run, tiny_clip, tmp_path, monkeypatch):
    task = write_toy(tmp_path / "toy")
    (tmp_path / "work").mkdir()
    (tmp_path / "p").symlink_to(tiny_clip.parent)
    monkeypatch.chdir(tmp_path / "work")
    code, _, err = run("eval", "-M", f"../p/{tiny_clip.name}", "-t", task, "-o", "out")
    assert code == 0, err
    (folder,) = (tmp_path / "work/out").iterdir()
    assert folder.name.startswith(f"p__{tiny_clip.name}-")
    monkeypatch.chdir(tiny_clip.parent / tiny_clip.name)
    code, _, err = run("eval", "-M", ".", "-t", task, "-o", tmp_path / "dot")
    assert code == 0, err
    assert [path.parent.parent for path in tmp_path.rglob("dot/**/results_*.json")] == [tmp_path / "dot"]


def test_ties_are_said_in_the_terminal_and_in_the_results(run, tmp_path):
    concept = tmp_path / "case.yaml"
    concept.write_text("name: case\nreplacements:\n  white: [White]\n  red: [Red]\n")
    task = write_toy(tmp_path / "toy", concept=str(concept))
    code, out, err = run("eval", "-M", "demo", "-t", task, "--format", "json")
    assert code == 0, err
    stored = json.loads(out)["tasks"]["toy_color"]
    assert stored["tied"] == 2
    assert "all 2 samples tied" in stored["problems"][0]
    assert "toy_color: all 2 samples tied" in err


def test_bad_names_of_models_are_refused(run, tmp_path):
    task = write_toy(tmp_path)
    for arguments, message in [
        (["-M", "demo:anything"], "demo:anything: there is one demo model only"),
        (["-M", "demo", "-a", "pretrained=x"], "unknown model argument 'pretrained'"),
        (["-M", "demo", "-a", "revision=x"], "there is one demo model only"),
        (["-M", "hf:a/b", "-a", "pretrained=c/d"], "leave pretrained out"),
        (["-M", "dual_encoder:a", "-a", "vision=b,text=c"], "leave vision, text out"),
        (["-M", tmp_path, "-a", "revision=x"], "holds no checkpoint"),
    ]:
        code, out, err = run("eval", *arguments, "-t", task)
        assert (code in (1, 2), out) == (True, "")
        assert message in err
