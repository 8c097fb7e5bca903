"""Scores from elsewhere are judged as a model's own are."""

import json

import pytest

from tests.toy import write_toy


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def logged(run, toy, tmp_path):
    """The demo model's results, and its sample log as dicts."""
    code, out, err = run("eval", "--model", "demo", "--tasks", toy, "-o", tmp_path / "own", "-s", "--format", "json")
    assert code == 0, err
    log = next(tmp_path.glob("own/demo/samples_*.jsonl"))
    return json.loads(out)["results"], [json.loads(line) for line in log.read_text().splitlines()]


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_sample_log_is_a_file_of_scores(run, toy, tmp_path, logged):
    results, lines = logged
    file = write(tmp_path / "scores.jsonl", [{"doc_id": line["doc_id"], "scores": line["scores"]} for line in lines])
    code, out, err = run("import-scores", file, "--tasks", toy, "--name", "theirs", "--format", "json", "-o", tmp_path)
    assert code == 0, err
    assert json.loads(out)["results"] == results
    assert json.loads(out)["model_name"] == "theirs"
    log = next(tmp_path.glob("theirs/samples_*.jsonl"))
    assert [json.loads(line) for line in log.read_text().splitlines()] == lines


def test_a_full_disk_costs_no_numbers(run, toy, tmp_path, logged, full_disk):
    results, lines = logged
    file = write(tmp_path / "scores.jsonl", [{"doc_id": line["doc_id"], "scores": line["scores"]} for line in lines])
    full_disk += ["samples_", "results_"]
    code, out, err = run("import-scores", file, "-t", toy, "-n", "theirs", "--format", "json", "-o", tmp_path / "full")
    assert code == 1
    assert json.loads(out)["results"] == results
    assert err.count("No space left on device") == 2
    assert not [path for path in (tmp_path / "full").rglob("*") if path.is_file()]


def test_csv_gives_the_same(run, toy, tmp_path, logged):
    results, lines = logged
    cells = [f"{line['doc_id']},0,{place},{score!r}" for line in lines for place, score in enumerate(line["scores"])]
    (tmp_path / "scores.csv").write_text("\n".join(["doc_id,image,text,score", *cells]) + "\n")
    code, out, err = run("import-scores", tmp_path / "scores.csv", "--tasks", toy, "--name", "x", "--format", "json")
    assert code == 0, err
    assert json.loads(out)["results"] == results


def test_missing_scores_are_named_and_counted(run, toy, tmp_path, logged):
    _, lines = logged
    entries = [{"doc_id": line["doc_id"], "scores": line["scores"]} for line in lines]
    shorter = [*entries[1:], {"doc_id": entries[0]["doc_id"], "scores": entries[0]["scores"][:-1]}]
    file = write(tmp_path / "scores.jsonl", [*shorter, {"doc_id": "nowhere", "scores": [0.5]}])
    arguments = ("import-scores", file, "--tasks", toy, "--name", "x")
    code, _, err = run(*arguments)
    assert code == 1
    assert f"lacks 1 of {len(entries[0]['scores'])} scores, such as of image 0 and text" in err
    assert "1 samples belong to none of the tasks" in err
    assert run(*arguments, "--allow_missing")[0] == 0
    code, _, err = run("import-scores", write(file, entries[1:]), "--tasks", toy, "--name", "x")
    assert code == 1
    assert "has no scores of it" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"doc_id": "0#0"}\n', "line 1: lacks 'image'"),
        ('{"scores": [1]}\n', "line 1: lacks 'doc_id'"),
        ('{"doc_id": 1, "scores": ["a"]}\n', "line 1: not a sample's scores"),
        ('{"doc_id": 1, "scores": [NaN]}\n', "line 1: the score of image 0 and text 0 is nan"),
        ('{"doc_id": 1, "scores": [1]}\n{"doc_id": 1, "scores": [1]}\n', "line 2: sample 1 has two scores"),
        ("", "the table is empty"),
        ("[]\n", "expected an object"),
        ("{\n", "line 1: not JSON"),
        ("[" * 100_000, "line 1: not JSON, or truncated"),
        ('{"doc_id": 1, "scores": [' + "9" * 5000 + "]}\n", "scores.jsonl, line 1: not JSON"),
    ],
)
def test_files_that_are_none_are_refused(run, toy, tmp_path, content, message):
    (tmp_path / "scores.jsonl").write_text(content)
    code, _, err = run("import-scores", tmp_path / "scores.jsonl", "--tasks", toy, "--name", "x")
    assert code == 1
    assert message in err
    assert len(err.splitlines()) == 1


def test_whole_sets_are_refused(run, tmp_path):
    (tmp_path / "scores.jsonl").write_text('{"doc_id": 1, "scores": [1]}\n')
    code, _, err = run("import-scores", tmp_path / "scores.jsonl", "--tasks", "scenes_retrieval", "--name", "x")
    assert code == 1
    assert "ranks the whole set" in err
