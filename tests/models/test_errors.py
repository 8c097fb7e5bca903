"""What users get wrong, and what they are told: one line that says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import httpx2
import huggingface_hub.errors
import pytest

from clipbench.errors import ClipbenchError, ConfigError, ModelError, UnknownName
from clipbench.models import Adapter, adapters, load_model
from clipbench.models.load_errors import explain
from tests.models.builders import build_bert


def message_of(spec, **options):
    with pytest.raises(ClipbenchError) as caught:
        load_model(str(spec), **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(spec).split(":")[-1] in message
    return message


def test_an_encoder_of_texts_only(tmp_path):
    message = message_of(build_bert(tmp_path / "bert"))
    assert "bert model" in message
    assert "no image features" in message
    assert "dual_encoder" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.parametrize("prefix", ["", "hf:", "open_clip:local-dir:"])
def test_a_fifo_among_the_files_of_a_checkpoint_is_refused_not_waited_for(tmp_path, prefix):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "open_clip_config.json" if "open_clip" in prefix else folder / "config.json").write_text("{}")
    os.mkfifo(folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors: not a regular file$"):
        load_model(f"{prefix}{folder}")


def test_a_directory_without_a_checkpoint(tmp_path, pair):
    assert "config.json" in message_of(tmp_path)
    shutil.copytree(pair[0], tmp_path / "checkpoint-10")
    assert str(tmp_path / "checkpoint-10") in message_of(tmp_path)


def test_a_path_that_is_not_there(tmp_path):
    assert "no such file" in message_of(tmp_path / "nothing")


@pytest.mark.parametrize("content", ["{", "", "[1]", '{"model_type": "clop"}'])
def test_broken_configuration(pair, tmp_path, content):
    shutil.copytree(pair[0], tmp_path / "model")
    (tmp_path / "model/config.json").write_text(content)
    assert str(tmp_path / "model") in message_of(tmp_path / "model")


@pytest.mark.parametrize("content", ["{", '{"model_cfg": 3}', "{}"])
def test_broken_open_clip_configuration(pair, tmp_path, content):
    shutil.copytree(pair[1], tmp_path / "model")
    (tmp_path / "model/open_clip_config.json").write_text(content)
    assert "open_clip_config.json" in message_of(tmp_path / "model")


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json", "preprocessor_config.json"])
def test_a_missing_file_is_named_or_at_least_the_directory(pair, tmp_path, missing):
    shutil.copytree(pair[0], tmp_path / "model")
    (tmp_path / "model" / missing).unlink()
    if missing == "tokenizer.json":
        (tmp_path / "model/tokenizer_config.json").unlink()
    assert str(tmp_path / "model") in message_of(tmp_path / "model")


def test_weights_of_transformers_passed_as_a_file(pair):
    assert f"pass its directory, {pair[0]}" in message_of(pair[0] / "model.safetensors")


def test_bad_options(pair):
    assert "did you mean bfloat16" in str(_error(pair[0], dtype="bfloat61"))
    assert "use device cpu" in str(_error(pair[0], device="cuda:7"))
    assert "did you mean pretrained" in str(_error(pair[0], model_args={"pretraind": "x"}))
    assert "neither true nor false" in str(_error(pair[0], model_args={"trust_remote_code": "perhaps"}))
    assert "no model was named" in str(_error(" "))
    assert "pretrained=" in str(_error("hf"))
    assert "vision=" in str(_error("dual_encoder"))


def _error(spec, **options):
    with pytest.raises(ConfigError) as caught:
        load_model(str(spec), **options)
    return caught.value


def test_arguments_may_come_with_the_model(pair):
    args = {"pretrained": str(pair[0]), "dtype": "bfloat16", "device": "cpu", "trust_remote_code": "False"}
    model = load_model("hf", model_args=args)
    assert model.info.precision == "bfloat16"
    assert load_model("hf", model_args=args, dtype="float32").info.precision == "float32"
    assert model.id == str(pair[0])


def test_remote_code_is_not_run(pair, tmp_path):
    directory = tmp_path / "model"
    shutil.copytree(pair[0], directory)
    config = '{"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}'
    (directory / "config.json").write_text(config)
    (directory / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    message_of(directory)
    assert not (tmp_path / "ran").exists()


def _response(status):
    return httpx2.Response(status, request=httpx2.Request("GET", "https://hub/x"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (huggingface_hub.errors.GatedRepoError("gated", response=_response(403)), "hf auth login"),
        (huggingface_hub.errors.RepositoryNotFoundError("404", response=_response(404)), "check the spelling"),
        (huggingface_hub.errors.RevisionNotFoundError("404", response=_response(404)), "check revision"),
        (httpx2.ConnectError("refused"), "could not be reached"),
        (httpx2.RemoteProtocolError("peer closed connection"), "try again"),
        (ValueError("some\nlong story"), "some"),
    ],
)
def test_hub_errors(error, words, monkeypatch):
    monkeypatch.setattr("clipbench.models.load_errors.offline", lambda library_switch: False)
    wrapped = OSError("Can't load it")
    wrapped.__cause__ = error
    for raised in (error, wrapped):
        message = str(explain(raised, "org/name"))
        assert words in message or (raised is wrapped and "Can't load it" in message)
        assert "org/name" in message
        assert "\n" not in message


def test_offline_says_what_to_do(tmp_path):
    code = (
        "from clipbench.models import load_model\n"
        "try: load_model('nobody/nothing')\nexcept Exception as e: print(repr(e))"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": "."}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.startswith("ModelError(")
    assert "HF_HUB_OFFLINE is set" in done.stdout
    assert "preprocessor_config.json" in done.stdout


def test_importing_and_listing_loads_no_model_library():
    code = (
        "import sys, clipbench.models as m; assert {a.name for a in m.adapters()} >= {'dual_encoder', 'hf'}\n"
        "assert not {'torch', 'transformers', 'open_clip', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_adapter_is_described():
    for adapter in adapters():
        assert isinstance(adapter, Adapter)
        assert adapter.example
        assert adapter.description


def test_a_plugin_is_an_adapter(monkeypatch, pair):
    import clipbench.models.registry as models

    class Point:
        name, value = "mine", "package:adapter"

        def load(self):
            return Adapter("mine", "mine:ANYTHING", "always the same", lambda request: request)

    monkeypatch.setattr(models, "_plugins_loaded", False)
    monkeypatch.setattr(models.ADAPTERS, "_entries", dict(models.ADAPTERS._entries))
    monkeypatch.setattr(models.importlib.metadata, "entry_points", lambda group: [Point()])
    assert load_model("mine:x").source == "x"
    monkeypatch.setattr(models, "_plugins_loaded", False)
    monkeypatch.setattr(Point, "load", lambda self: 1 / 0)
    with pytest.raises(ConfigError, match="'mine'.*broken"):
        load_model("mine:x")


def test_loading_prints_nothing(pair, capfd):
    for directory in pair:
        load_model(str(directory))
    assert capfd.readouterr() == ("", "")


def test_unsaved_directory_is_an_error(pair, tmp_path):
    model = load_model(str(pair[0]))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="holds other files"):
        model.save(tmp_path)
    with pytest.raises(ModelError, match="it is a file"):
        model.save(tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ViT-B-32", "did you mean open_clip:ViT-B-32/openai?"),
        ("ViT-B/32", "did you mean open_clip:ViT-B-32/openai?"),
        ("vit-b-32", "did you mean open_clip:ViT-B-32/openai?"),
        ("ViT-B-32/laion2b_s34b_b97k", "did you mean open_clip:ViT-B-32/laion2b_s34b_b79k?"),
        ("demoo", "did you mean demo?"),
        ("some-clip", "OWNER/NAME"),
    ],
)
def test_names_that_no_hub_has_are_not_asked_for(name, words, monkeypatch):
    monkeypatch.setattr("clipbench.models.hub_files.holds_open_clip", lambda *_: pytest.fail("the hub was asked"))
    with pytest.raises(UnknownName) as caught:
        load_model(name)
    assert words in str(caught.value)
