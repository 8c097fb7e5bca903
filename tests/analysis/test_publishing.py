"""What goes out to the hub, by description and through the hub's own client against a server on this machine."""

import base64
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from clipbench.analysis.publishing import EVAL_RESULTS, dataset_upload, describe, merged_card, model_upload
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
    assert upload.notes == ["u stays behind: it is not complete"]
    with pytest.raises(ResultError, match="no complete result"):
        model_upload(paths[2:], "me/model")


def test_a_card_is_of_one_model(tmp_path):
    paths = [write(tmp_path, make_results(name, weights=name * 64)) for name in "ab"]
    with pytest.raises(ConfigError, match=r"of one model, and these are of a \(aaaaaaa\), b \(bbbbbbb\)"):
        model_upload(paths, "me/model")


def test_eval_results_name_the_hub_data_only(tmp_path):
    path = write(tmp_path, from_hub(make_results(values={"t": 0.5, "u": 0.25})))
    (entry,) = yaml.safe_load(model_upload([path], "me/model").files[EVAL_RESULTS])
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


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a commit needs."""

    def log_message(self, *_):
        pass

    def answer(self, code, body=b"", **headers):
        self.send_response(code)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        repo = self.path.split("/resolve/")[0].strip("/")
        card = self.server.cards.get(repo)
        if card is None:
            self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit="0" * 40)
        else:
            self.answer(200, card.encode(), ETag='"card"', X_Repo_Commit="0" * 40)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, body))
        if self.server.refuses:
            self.answer(403, b'{"error": "forbidden"}', Content_Type="application/json")
        elif "/paths-info/" in self.path:
            self.answer(200, b"[]", Content_Type="application/json")
        elif "/preupload/" in self.path:
            files = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]
            self.answer(200, json.dumps({"files": files}).encode(), Content_Type="application/json")
        else:
            url = f"http://127.0.0.1:{self.server.server_port}/me/x"
            found = {"url": url, "commitUrl": f"{url}/commit/1", "commitOid": "1" * 40, "success": True}
            self.answer(200, json.dumps(found).encode(), Content_Type="application/json")


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.cards, server.posts, server.refuses = {}, [], False
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def push(hub, tmp_path, *arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_TOKEN": "hf_x"}
    environment["HF_HOME"] = str(tmp_path / "hf")
    command = [sys.executable, "-m", "clipbench", "push", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def committed(hub):
    """Repository to path to text, of every commit."""
    commits = {}
    for path, body in hub.posts:
        if "/commit/" in path:
            entries = [json.loads(entry) for entry in body.splitlines()]
            files = {entry["value"]["path"]: entry["value"]["content"] for entry in entries if entry["key"] == "file"}
            commits[path] = {name: base64.b64decode(content).decode() for name, content in files.items()}
    return commits


def test_the_hub_gets_what_was_described(hub, tmp_path):
    hub.cards["me/m"] = CARD
    path = write(tmp_path, from_hub(make_results()), {"t": lines("+-")})
    done = push(hub, tmp_path, path.parent, "--model_repo", "me/m", "--dataset_repo", "me/d")
    assert (done.returncode, done.stderr) == (0, "")
    commits = committed(hub)
    model, data = commits["/api/models/me/m/commit/main"], commits["/api/datasets/me/d/commit/main"]
    upload = model_upload([path], "me/m")
    assert model == {"README.md": merged_card(CARD, upload), EVAL_RESULTS: upload.files[EVAL_RESULTS].decode()}
    expected = dataset_upload([path], "me/d")
    assert data.keys() == {*expected.files, "README.md"}
    assert data[f"org__model/{path.name}"] == path.read_text()
    assert yaml.safe_load(data["README.md"].split("---")[1])["configs"][0]["data_files"] == "*/scores_*.jsonl"


def test_a_dry_run_sends_nothing(hub, tmp_path):
    path = write(tmp_path, make_results())
    done = push(hub, tmp_path, path, "--dataset_repo", "me/d", "--model_repo", "me/m", "--dry_run")
    assert done.returncode == 0
    assert hub.posts == []
    assert "dataset me/d" in done.stdout


def test_a_refusal_is_told_in_one_line(hub, tmp_path):
    hub.refuses = True
    done = push(hub, tmp_path, write(tmp_path, make_results()), "--dataset_repo", "me/d")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "hf auth login" in done.stderr
