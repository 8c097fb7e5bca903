"""Checkpoints that must not be used: they hold code, or not the weights they should."""

from __future__ import annotations

import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from clipbench.errors import ModelError
from clipbench.models import load_model

WEIGHTS = {"hf": "model.safetensors", "open_clip": "open_clip_model.safetensors"}


@pytest.fixture(params=["hf", "open_clip"])
def checkpoint(request, pair, tmp_path):
    """A copy of a checkpoint in each format, and the name of its weights."""
    source = pair[0] if request.param == "hf" else pair[1]
    directory = tmp_path / "model"
    shutil.copytree(source, directory)
    return directory, directory / WEIGHTS[request.param]


class Harmful:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


def refusal(directory):
    with pytest.raises(ModelError) as caught:
        load_model(str(directory))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_pickled_code_is_not_run(checkpoint, tmp_path, form):
    directory, weights = checkpoint
    weights.unlink()
    bad = directory / ("pytorch_model.bin" if weights.name == WEIGHTS["hf"] else "open_clip_pytorch_model.bin")
    content = {"logit_scale": torch.ones(()), "other": Harmful(tmp_path / "ran")}
    if form == "torch":
        torch.save(content, bad)
    else:
        bad.write_bytes(pickle.dumps(content))
    message = refusal(directory)
    assert not (tmp_path / "ran").exists()
    assert "code" in message
    assert "safetensors" in message


def test_a_file_of_pickled_code_is_not_run(tmp_path):
    torch.save({"state_dict": Harmful(tmp_path / "ran")}, tmp_path / "weights.pt")
    assert "code" in refusal(tmp_path / "weights.pt")
    assert not (tmp_path / "ran").exists()


def test_bin_files_without_code_work(checkpoint):
    directory, weights = checkpoint
    expected = load_model(str(directory)).fingerprint
    bare = directory / ("pytorch_model.bin" if weights.name == WEIGHTS["hf"] else "open_clip_pytorch_model.bin")
    torch.save(load_file(weights), bare)
    weights.unlink()
    assert load_model(str(directory)).fingerprint == expected


def test_missing_weights_are_named(checkpoint):
    directory, weights = checkpoint
    state = load_file(weights)
    gone = sorted(name for name in state if "layers.1" in name or "resblocks.1" in name)
    save_file({name: tensor for name, tensor in state.items() if name not in gone}, weights, metadata={"format": "pt"})
    message = refusal(directory)
    assert f"{len(gone)} missing ({gone[0]}" in message


def test_unexpected_weights_are_named(checkpoint):
    directory, weights = checkpoint
    save_file({**load_file(weights), "adapter.down.weight": torch.ones(2)}, weights, metadata={"format": "pt"})
    assert "1 unexpected (adapter.down.weight)" in refusal(directory)


def test_saved_position_ids_are_harmless(pair, tmp_path):
    directory = tmp_path / "model"
    shutil.copytree(pair[0], directory)
    weights = directory / WEIGHTS["hf"]
    ids = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    save_file({**load_file(weights), **ids}, weights, metadata={"format": "pt"})
    assert load_model(str(directory)).fingerprint == load_model(str(pair[0])).fingerprint


def test_wrong_shapes_are_named(checkpoint):
    directory, weights = checkpoint
    state = load_file(weights)
    name = "text_projection.weight" if "text_projection.weight" in state else "text_projection"
    save_file({**state, name: torch.ones(3, 5)}, weights, metadata={"format": "pt"})
    message = refusal(directory)
    assert "1 of the wrong shape" in message
    assert name in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_found_at_load(checkpoint, value):
    directory, weights = checkpoint
    state = load_file(weights)
    name = next(name for name in sorted(state) if name.endswith("token_embedding.weight"))
    state[name][3, 4] = value
    save_file(state, weights, metadata={"format": "pt"})
    message = refusal(directory)
    assert f"{name} is NaN or infinite in 1 of {state[name].numel()} places" in message


def test_a_truncated_file_of_weights(checkpoint):
    directory, weights = checkpoint
    weights.write_bytes(weights.read_bytes()[:1000])
    assert str(directory) in refusal(directory)


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path):
    import zipfile

    torch.save({"logit_scale": torch.zeros(10**6)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    assert "is compressed" in refusal(tmp_path / "packed.pt")


def test_one_number_repeated_is_no_large_weight(tmp_path):
    torch.save({"token_embedding.weight": torch.zeros(1, 1).expand(10**9, 512)}, tmp_path / "weights.pt")
    assert "the file does not hold as many" in refusal(tmp_path / "weights.pt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "web page"),
    ],
)
def test_what_is_no_file_of_weights_is_named(checkpoint, tmp_path, content, words):
    directory, weights = checkpoint
    weights.write_bytes(content)
    assert words in refusal(directory)
    for suffix in (".pt", ".safetensors"):
        (tmp_path / f"alone{suffix}").write_bytes(content)
        assert words in refusal(tmp_path / f"alone{suffix}")
