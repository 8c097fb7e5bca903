"""A PEFT adapter is loaded with its base, and scores as peft itself computes it."""

from __future__ import annotations

import importlib.util
import json
import shutil

import pytest
import torch
from transformers import CLIPModel

from clipbench.errors import ClipbenchError, ModelError
from clipbench.models import load_model
from tests.models.conftest import TEXTS, assert_same_directions

peft = pytest.importorskip("peft")


@pytest.fixture(scope="module")
def adapter(pair, tmp_path_factory):
    """A folder with an adapter of ``pair[0]``, and the network with it, as peft has it in memory."""
    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, lora_alpha=8, use_rslora=True, target_modules=["q_proj", "fc1"])
    network = peft.get_peft_model(CLIPModel.from_pretrained(pair[0]), config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.2)
    folder = tmp_path_factory.mktemp("peft") / "adapter"
    network.save_pretrained(folder)
    return folder, network


@pytest.fixture
def copy(adapter, tmp_path):
    shutil.copytree(adapter[0], tmp_path / "copy")
    return tmp_path / "copy"


def edit(folder, **settings):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


@torch.no_grad()
def assert_equal_features(model, network, image):
    ids = model.tokenizer(TEXTS, padding="max_length", max_length=77, return_tensors="pt").input_ids
    assert_same_directions(
        model.text_features(model.tokenize(TEXTS)), network.get_text_features(input_ids=ids).pooler_output
    )
    pixels = model.preprocess(image)[None]
    expected = network.get_image_features(pixel_values=pixels).pooler_output
    assert_same_directions(model.image_features(pixels), expected)


def test_base_and_adapter_are_loaded(adapter, pair, image):
    folder, network = adapter
    model = load_model(str(folder))
    assert_equal_features(model, network, image)
    assert model.id == str(folder)
    assert model.fingerprint != load_model(str(pair[0])).fingerprint


def test_a_merged_adapter_can_be_saved(adapter, tmp_path, image):
    load_model(str(adapter[0])).save(tmp_path / "merged")
    assert_equal_features(load_model(str(tmp_path / "merged")), adapter[1], image)


def test_the_base_can_be_named(copy, adapter, pair, image):
    edit(copy, base_model_name_or_path="/gone/base")
    with pytest.raises(ModelError, match="adapter of /gone/base, which is not there: pass model_args base="):
        load_model(str(copy))
    assert_equal_features(load_model(str(copy), model_args={"base": str(pair[0])}), adapter[1], image)
    edit(copy, base_model_name_or_path=None)
    with pytest.raises(ModelError, match="does not say of which model"):
        load_model(str(copy))


def test_without_peft_the_base_and_the_command_are_said(copy, pair, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "peft" else found(name, *a))
    with pytest.raises(ModelError) as caught:
        load_model(str(copy))
    assert str(pair[0]) in str(caught.value)
    assert "pip install 'clipbench[lora]'" in str(caught.value)


def test_what_does_not_fit_is_refused(copy, pair):
    from safetensors.torch import load_file, save_file

    with pytest.raises(ModelError, match="pass its directory"):
        load_model(str(copy / "adapter_model.safetensors"))
    with pytest.raises(ModelError, match="leave base="):
        load_model(str(pair[0]), model_args={"base": "x"})
    weights = load_file(copy / "adapter_model.safetensors")
    gone = next(iter(weights))
    save_file({name: tensor for name, tensor in weights.items() if name != gone}, copy / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="1 missing"):
        load_model(str(copy))
    edit(copy, r=10**12)
    with pytest.raises(ClipbenchError):
        load_model(str(copy))


def test_a_model_and_an_adapter_in_one_folder(copy, pair):
    for file in pair[0].iterdir():
        shutil.copy(file, copy)
    with pytest.raises(ModelError, match="holds a model and a PEFT adapter"):
        load_model(str(copy))
