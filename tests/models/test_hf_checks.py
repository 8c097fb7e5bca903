"""Configurations and tokenizers that do not fit the weights of a transformers checkpoint."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPModel

from clipbench.errors import ModelError
from clipbench.models import load_model
from tests.models.conftest import TEXTS, assert_same_directions


@pytest.fixture
def copy(pair, tmp_path):
    shutil.copytree(pair[0], tmp_path / "copy")
    return tmp_path / "copy"


def refusal(source, **options):
    with pytest.raises(ModelError) as caught:
        load_model(str(source), **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) <= 400
    return message


def edit(folder, part, **settings):
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config[part].update(settings)
    file.write_text(json.dumps(config))


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize(
    ("part", "settings", "words"),
    [
        ("text_config", {"num_hidden_layers": 100_000}, "num_hidden_layers 100,000"),
        ("vision_config", {"num_hidden_layers": 10**12}, "num_hidden_layers 1,000,000,000,000"),
        ("text_config", {"hidden_size": 10**6, "vocab_size": 10**9}, "parameters, and the weights are"),
        ("text_config", {"max_position_embeddings": 10**10}, "parameters, and the weights are"),
    ],
)
def test_a_configuration_out_of_proportion_is_refused_before_it_is_built(
    copy, part, settings, words, form, monkeypatch
):
    edit(copy, part, **settings)
    if form == "bin":
        torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
        (copy / "model.safetensors").unlink()
    monkeypatch.setattr(CLIPModel, "from_pretrained", lambda *_, **__: pytest.fail("it was built"))
    assert words in refusal(copy)


@pytest.mark.parametrize(
    ("part", "settings", "words"),
    [
        ("text_config", {"num_attention_heads": 7}, "not a multiple of the number of attention heads (7)"),
        ("text_config", {"hidden_size": "x"}, "'hidden_size' expected int, got str"),
        ("text_config", {"hidden_act": "foo"}, "there is no 'foo'"),
        ("vision_config", {"patch_size": 0}, "ZeroDivisionError"),
    ],
)
def test_invalid_configurations_are_told_in_their_own_words(copy, part, settings, words):
    edit(copy, part, **settings)
    message = refusal(copy)
    assert words in message
    assert "validation error" not in message.lower()


def test_a_tokenizer_larger_than_the_embedding(copy):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens(["<obj>"])
    tokenizer.save_pretrained(copy)
    message = refusal(copy)
    assert "49,409 tokens" in message
    assert "'<obj>'" in message


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "model."])
@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_wrapped_names_are_unwrapped(copy, pair, prefix, form):
    state = {prefix + name: tensor for name, tensor in load_file(copy / "model.safetensors").items()}
    if form == "bin":
        torch.save(state, copy / "pytorch_model.bin")
        (copy / "model.safetensors").unlink()
    else:
        save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    assert load_model(str(copy)).fingerprint == load_model(str(pair[0])).fingerprint


REMOTE = """
from transformers import CLIPConfig, CLIPModel
class Own(CLIPModel):
    config_class = CLIPConfig
    def get_text_features(self, **inputs):
        return WRAP("text_embeds", super().get_text_features(**inputs).pooler_output)
    def get_image_features(self, **inputs):
        return WRAP("image_embeds", super().get_image_features(**inputs).pooler_output)
"""
WRAPS = {
    "dictionary": "WRAP = lambda name, features: {name: features, 'last_hidden_state': None}",
    "output": "from transformers.models.clip.modeling_clip import CLIPOutput\n"
    "WRAP = lambda name, features: CLIPOutput(**{name: features})",
    "tensor": "WRAP = lambda name, features: features",
}


@pytest.mark.parametrize("kind", WRAPS)
@torch.no_grad()
def test_remote_code_may_return_features_by_name(copy, pair, kind, image):
    (copy / "own.py").write_text(WRAPS[kind] + "\n" + REMOTE)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "own.Own"}}))
    model, plain = load_model(str(copy), trust_remote_code=True), load_model(str(pair[0]))
    assert type(model.module).__name__ == "Own"
    assert_same_directions(model.text_features(model.tokenize(TEXTS)), plain.text_features(plain.tokenize(TEXTS)))
    pixels = plain.preprocess(image)[None]
    assert_same_directions(model.image_features(pixels), plain.image_features(pixels))


def test_remote_code_that_returns_something_else(copy):
    (copy / "own.py").write_text("WRAP = lambda name, features: {'features': features}\n" + REMOTE)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "own.Own"}}))
    assert "text_embeds" in refusal(copy, trust_remote_code=True)


def test_a_message_about_many_weights_is_short(copy):
    state = load_file(copy / "model.safetensors")
    other = {f"some.other.very.long.name.of.a.wrapper.{'x' * 200}.{name}": tensor for name, tensor in state.items()}
    save_file(other, copy / "model.safetensors", metadata={"format": "pt"})
    message = refusal(copy)
    assert f"{len(state)} missing" in message
