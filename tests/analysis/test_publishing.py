"""What goes out to the hub, by description and through the hub's own client against a server on this machine."""

import json
import subprocess
import sys

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from clipbench.analysis.publishing import benchmark_upload, dataset_upload, describe, merged_card, model_upload
from clipbench.cli import main
from clipbench.errors import ConfigError, ResultError
from tests.analysis.leaderboard.builders import lines, make_results, write

CARD = """---
license: mit
model-index:
- name: mine
  results:
  - task: {type: other}
    dataset: {name: d, type: d}
    metrics: [{type: f1, value: 0.5, name: other f1}]
---
# Mine

Text | with <b>marks</b>.
"""


def from_hub(results, task="t"):
    results.tasks[task].data = {"layout": "hub", "location": "org/data", "revision": "c" * 40}
    results.tasks[task].declaration["hub"] = {"repo": "org/data", "split": "test", "config": None}
    return results


def test_a_card_keeps_what_it_says_and_gets_every_metric(tmp_path):
    path = write(tmp_path, from_hub(make_results(values={"t": 0.5, "u": 0.25})))
    text = merged_card(CARD, model_upload([path], "me/model"))
    card = ModelCard(text)
    assert card.data.license == "mit"
    assert "Text | with <b>marks</b>." in card.content
    _, found = model_index_to_eval_results(card.data.to_dict()["model-index"])
    by_name = {each.metric_name: each for each in found}
    assert by_name.keys() == {"other f1", "t acc", "u acc"}
    assert by_name["t acc"].metric_value == 0.5
    assert (by_name["t acc"].dataset_type, by_name["t acc"].dataset_split) == ("org/data", "test")
    assert by_name["t acc"].dataset_revision == "c" * 40
    assert by_name["t acc"].metric_args == {"task": "t", "version": 1, "stderr": 0.01, "n": 100, "chance": 0.25}


def test_a_second_push_replaces_its_own_metrics_only(tmp_path):
    old = model_upload([write(tmp_path / "x", make_results(values={"t": 0.5}))], "me/model")
    new = model_upload([write(tmp_path / "y", make_results(values={"t": 0.75}, day=1))], "me/model")
    once = merged_card(CARD, new)
    assert merged_card(merged_card(CARD, old), new) == once
    assert merged_card(once, new) == once


def test_only_complete_results_go_onto_a_card_and_of_two_runs_the_newer(tmp_path):
    paths = [
        write(tmp_path, make_results(values={"t": 0.6}, day=2)),
        write(tmp_path, make_results(values={"t": 0.5}, day=1)),
        write(tmp_path, make_results(values={"t": 0.9, "u": 0.9}, day=3, limit=5)),
    ]
    upload = model_upload(paths, "me/model")
    assert [(each.metric_name, each.metric_value) for each in upload.card_results] == [("t acc", 0.6)]
    assert upload.notes == ["u is left out: it is not complete"]
    with pytest.raises(ResultError, match="no complete result"):
        model_upload(paths[2:], "me/model")


def test_a_card_is_of_one_model(tmp_path):
    paths = [write(tmp_path, make_results(name, weights=name * 64)) for name in "ab"]
    with pytest.raises(ConfigError, match=r"of one model, and these are of a \(aaaaaaa\), b \(bbbbbbb\)"):
        model_upload(paths, "me/model")


def test_eval_results_name_the_hub_data_only(tmp_path):
    path = write(tmp_path, from_hub(make_results(values={"t": 0.5, "u": 0.25})))
    (entry,) = model_upload([path], "me/model").entries
    assert entry["dataset"] == {"id": "org/data", "task_id": "t", "revision": "c" * 40}
    assert (entry["value"], entry["date"]) == (0.5, "2026-01-01T00:00:00Z")
    assert "acc ± 0.0100, n = 100, task version 1" in entry["notes"]


def test_a_dataset_gets_files_and_a_line_a_score_without_local_places(tmp_path):
    path = write(tmp_path, make_results("org/m"), {"t": lines("+-")})
    upload = dataset_upload([path], "me/results")
    assert set(upload.files) == {
        f"org__m/{name}_2026-01-01T00-00-00.000000.{suffix}"
        for name, suffix in (("results", "json"), ("scores", "jsonl"), ("samples_t", "jsonl"))
    }
    (score,) = map(json.loads, next(text for text in upload.files.values() if isinstance(text, bytes)).splitlines())
    assert (score["model"], score["task"], score["value"]) == ("org/m", "t", 0.5)
    assert str(tmp_path) not in json.dumps(score)
    assert len(dataset_upload([path], "me/results", samples=False).files) == 2


def test_a_description_names_every_byte(tmp_path):
    path = write(tmp_path, from_hub(make_results()), {"t": lines("+-")})
    text = describe(model_upload([path], "me/m")) + describe(dataset_upload([path], "me/d"))
    assert "model me/m" in text
    assert "dataset me/d" in text
    assert "name: t acc" in text
    assert f"{path.stat().st_size:,} bytes, sha256" in text


def push(hub, tmp_path, *arguments):
    command = [sys.executable, "-m", "clipbench", "push", *map(str, arguments)]
    environment = hub.env(tmp_path / "hf", HF_TOKEN=hub.token)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def entries(hub, file=".eval_results/org__data.yaml", repository="me/m"):
    return {entry["dataset"]["task_id"]: entry for entry in yaml.safe_load(hub.files("model", repository)[file])}


def test_the_hub_gets_what_was_described_and_the_data_set_is_the_source(hub, tmp_path):
    hub.add_files("model", "me/m", {"README.md": CARD.encode()})
    path = write(tmp_path, from_hub(make_results()), {"t": lines("+-")})
    done = push(hub, tmp_path, path.parent, "--model_repo", "me/m", "--dataset_repo", "me/d")
    assert (done.returncode, done.stderr) == (0, "")
    model, data = hub.files("model", "me/m"), hub.files("dataset", "me/d")
    assert model.keys() == {"README.md", ".eval_results/org__data.yaml"}
    assert model["README.md"] == merged_card(CARD, model_upload([path], "me/m"))
    place = f"org__model/{path.name}"
    assert entries(hub)["t"]["source"] == {
        "url": f"{hub.url}/datasets/me/d/blob/main/{place}", "name": "clipbench results",
    }  # fmt: skip
    assert data.keys() == {*dataset_upload([path], "me/d").files, "README.md"}
    assert data[place] == path.read_text()
    assert yaml.safe_load(data["README.md"].split("---")[1])["configs"][0]["data_files"] == "*/scores_*.jsonl"


def test_a_second_push_of_other_tasks_keeps_the_first_ones(hub, tmp_path):
    """It replaced `.eval_results/clipbench.yaml`, and what was in it was gone."""
    others = [{"dataset": {"id": "org/data", "task_id": "theirs"}, "value": 0.1, "source": {"url": "x"}, "more": 1}]
    old = [
        {"dataset": {"id": "org/data", "task_id": "old"}, "value": 0.2},
        {"dataset": {"id": "org/other", "task_id": "t"}, "value": 0.3},
        {"dataset": {"id": "org/data", "task_id": "u"}, "value": 0.4},
    ]
    hub.add_files("model", "me/m", {
        ".eval_results/theirs.yaml": yaml.safe_dump(others).encode(),
        ".eval_results/clipbench.yaml": yaml.safe_dump(old).encode(),
    })  # fmt: skip
    hub.status("*/commit/main", 412, times=1)  # somebody else commits meanwhile
    first = write(tmp_path / "x", from_hub(make_results(values={"t": 0.5})))
    assert push(hub, tmp_path, first, "--model_repo", "me/m").returncode == 0
    assert len(hub.asked("*/commit/main")) == 2
    results = from_hub(from_hub(make_results(values={"u": 0.75, "theirs": 0.9}, day=1), "u"), "theirs")
    second = write(tmp_path / "y", results)
    assert push(hub, tmp_path, second, "--model_repo", "me/m").returncode == 0
    files = hub.files("model", "me/m")
    assert files.keys() == {
        "README.md", ".eval_results/theirs.yaml", ".eval_results/org__data.yaml", ".eval_results/org__other.yaml",
    }  # fmt: skip
    assert {task: entry["value"] for task, entry in entries(hub).items()} == {"old": 0.2, "u": 0.75, "t": 0.5}
    assert entries(hub, ".eval_results/org__other.yaml")["t"]["value"] == 0.3
    assert entries(hub, ".eval_results/theirs.yaml")["theirs"]["value"] == 0.9
    _, metrics = model_index_to_eval_results(ModelCard(files["README.md"]).data.to_dict()["model-index"])
    assert {each.metric_name for each in metrics} == {"t acc", "u acc", "theirs acc"}


def test_a_verified_value_and_a_file_of_something_else_stay(hub, tmp_path):
    verified = [{"dataset": {"id": "org/data", "task_id": "t"}, "value": 0.1, "verifyToken": "x"}]
    hub.add_files("model", "me/m", {".eval_results/v.yaml": yaml.safe_dump(verified).encode()})
    path = write(tmp_path, from_hub(make_results()))
    assert push(hub, tmp_path, path, "--model_repo", "me/m").returncode == 0
    assert entries(hub, ".eval_results/v.yaml")["t"]["value"] == 0.1
    hub.add_files("model", "me/n", {".eval_results/org__data.yaml": b"a: 1"})
    done = push(hub, tmp_path, path, "--model_repo", "me/n")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "me/n: .eval_results/org__data.yaml: exists and is not a list of results" in done.stderr
    assert hub.files("model", "me/n") == {".eval_results/org__data.yaml": "a: 1"}


def test_a_benchmark_declares_its_tasks_once(hub, tmp_path):
    path = write(tmp_path, from_hub(make_results(values={"t": 0.5, "u": 0.5})))
    assert push(hub, tmp_path, path, "--benchmark_repo", "org/data").returncode == 0
    declared = yaml.safe_load(hub.files("dataset", "org/data")["eval.yaml"])
    assert declared["name"] == "data"
    assert declared["evaluation_framework"] == "clipbench"
    assert declared["tasks"] == [{"id": "t", "config": "default", "split": "test"}]
    mine = {**declared, "description": "Mine.", "tasks": [{"id": "first", "split": "dev"}]}
    hub.add_files("dataset", "org/data", {"eval.yaml": yaml.safe_dump(mine).encode()})
    push(hub, tmp_path, path, "--benchmark_repo", "org/data")
    there = yaml.safe_load(hub.files("dataset", "org/data")["eval.yaml"])
    assert there == {**mine, "tasks": [*mine["tasks"], *declared["tasks"]]}
    done = push(hub, tmp_path, path, "--benchmark_repo", "org/data")
    assert (done.returncode, done.stdout) == (0, "org/data: everything is already there\n")


def test_a_benchmark_has_all_tasks_that_clipbench_knows_of_its_data(tmp_path):
    results = from_hub(make_results(values={"inpaintcoco_color": 0.5}), "inpaintcoco_color")
    results.tasks["inpaintcoco_color"].data["location"] = "phiyodr/InpaintCOCO"
    path = write(tmp_path, results)
    tasks = benchmark_upload([path], "phiyodr/InpaintCOCO").benchmark["tasks"]
    assert {"inpaintcoco_color", "inpaintcoco_object", "inpaintcoco_size"} <= {task["id"] for task in tasks}
    assert "evaluation_framework: clipbench" in describe(benchmark_upload([path], "phiyodr/InpaintCOCO"))
    with pytest.raises(ConfigError, match="no result is of this data; the results are of: phiyodr/InpaintCOCO"):
        benchmark_upload([path], "me/other")


@pytest.mark.parametrize(
    "name", ["../x", "x", "me/../x", "a/b/c", "me/", "/x", "", "me/x.git", "me/a--b", "me/é", "a b/c"]
)
@pytest.mark.parametrize("option", ["model_repo", "dataset_repo", "benchmark_repo"])
def test_a_name_of_no_repository_is_refused_before_anything_is_read(option, name, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["push", "nowhere", f"--{option}", name])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"clipbench: error: --{option} {name!r}: not OWNER/NAME")


def test_a_damaged_file_stays_behind_and_is_named(hub, tmp_path):
    write(tmp_path, from_hub(make_results()))
    (tmp_path / "results_x.json").write_text("{")
    done = push(hub, tmp_path, tmp_path, "--model_repo", "me/m")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "results_x.json: not a readable result file" in done.stderr
    assert entries(hub).keys() == {"t"}


def test_a_dry_run_sends_nothing(hub, tmp_path):
    path = write(tmp_path, from_hub(make_results()))
    done = push(hub, tmp_path, path, "--dataset_repo", "me/d", "--model_repo", "me/m", "--dry_run")
    assert done.returncode == 0
    assert hub.requests == []
    assert "dataset me/d" in done.stdout
    assert f"url: {hub.url}/datasets/me/d/blob/main/org__model/{path.name}" in done.stdout


def test_a_refusal_is_told_in_one_line(hub, tmp_path):
    hub.status("*", 403)
    done = push(hub, tmp_path, write(tmp_path, make_results()), "--dataset_repo", "me/d")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "hf auth login" in done.stderr
