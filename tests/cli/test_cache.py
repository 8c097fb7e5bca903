import json
import subprocess
import sys

import pytest

from tests.toy import write_toy


@pytest.fixture(autouse=True)
def default_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPBENCH_CACHE", str(tmp_path / "default"))


def listed(run, *arguments):
    code, out, _ = run("cache", "ls", "--format", "json", *arguments)
    assert code == 0
    return json.loads(out)


@pytest.mark.parametrize("where", ["flag", "named", "yaml"])
def test_embeddings_are_kept_listed_verified_and_removed(run, tiny_clip, tmp_path, where):
    folder = tmp_path / ("elsewhere" if where == "named" else "default")
    arguments = ["eval", "-t", write_toy(tmp_path / "toy"), "-M", tiny_clip, "--format", "json"]
    if where == "yaml":
        (tmp_path / "c.yaml").write_text("use_cache: true\n")
        arguments += ["-C", tmp_path / "c.yaml"]
    else:
        arguments += ["--use_cache", *([folder] if where == "named" else [])]
    first = json.loads(run(*arguments)[1])
    (entry,) = listed(run, "--cache_dir", folder)
    assert (entry["model"], entry["precision"], entry["images"], entry["texts"]) == (str(tiny_clip), "float32", 2, 18)
    before = {path: path.read_bytes() for path in folder.rglob("*.safetensors")}
    second = json.loads(run(*arguments)[1])
    assert second["results"] == first["results"]
    assert second["config"]["use_cache"] == str(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*.safetensors")} == before
    assert run("cache", "verify", "--cache_dir", folder)[0] == 0
    code, _, err = run("cache", "rm", tiny_clip, "--cache_dir", folder)
    assert code == 0
    assert "2 images" in err
    assert listed(run, "--cache_dir", folder) == []


def test_damage_is_said_and_mended(run, tiny_clip, tmp_path):
    arguments = ["eval", "-t", write_toy(tmp_path / "toy"), "-M", tiny_clip, "--use_cache", "--format", "json"]
    first = json.loads(run(*arguments)[1])
    (shard,) = (tmp_path / "default").rglob("texts-*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-3])
    code, out, err = run(*arguments)
    assert code == 0
    assert json.loads(out)["results"] == first["results"]
    assert f"{shard}: damaged" in err
    (shard,) = (tmp_path / "default").rglob("texts-*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-3])
    code, _, err = run("cache", "verify")
    assert code == 1
    assert f"{shard}: it is incomplete" in err
    assert "dropped" in err
    assert run("cache", "verify")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cache", "rm"], "name a model, or pass --all"),
        (["cache", "rm", "x", "--all"], "name a model, or pass --all"),
        (["cache", "rm", "nobody"], "no embeddings of 'nobody'"),
        (["cache", "lst"], "No such command"),
    ],
)
def test_bad_usage_is_one_line(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_an_empty_cache_is_no_error(run):
    assert listed(run) == []
    assert run("cache", "verify")[0] == 0
    assert run("cache", "rm", "--all")[0] == 0


def test_a_file_as_cache_folder_is_found_before_the_model_is_looked_at(run, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run("eval", "-M", "no/such", "-t", write_toy(tmp_path / "toy"), "--use_cache", tmp_path / "file")
    assert code == 2
    assert "is a file: give a folder" in err


def test_listing_imports_no_torch():
    script = (
        "import sys\nfrom clipbench.cli import main\n"
        "try: main(['cache', 'ls'])\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
