"""The demo model without transformers is the model that transformers makes of the same files."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from clipbench import load_model
from clipbench.errors import ModelError
from clipbench.models import demo, probes
from clipbench.models.gradient_checkpointing import checkpoint_gradients

SIZES = (*probes.NOISE_SIZES, (64, 64), (30, 20), (65, 64), (64, 97))


@pytest.fixture(scope="module", params=["trained", "native"])
def both(request):
    return [load_model(name, model_args={"text_cleaning": request.param}) for name in ("demo", f"hf:{demo.FOLDER}")]


@pytest.mark.parametrize("texts", [probes.TEXTS, probes.PREFIX_TEXTS, probes.TOKENIZER_TEXTS, ("",)])
def test_texts_are_read_the_same(both, texts):
    ours, theirs = both
    one, other = ours.tokenize(texts), theirs.tokenize(texts)
    assert (one.truncated, one.lengths) == (other.truncated, other.lengths)
    assert one.inputs.keys() == other.inputs.keys()
    assert all(torch.equal(one.inputs[name], other.inputs[name]) for name in one.inputs)
    with torch.no_grad():
        assert torch.allclose(ours.text_features(one), theirs.text_features(other), atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_images_are_seen_the_same(both, size):
    ours, theirs = both
    image = probes.noise_image(*size)
    assert np.array_equal(ours.resized(image), theirs.resized(image))
    pixels = ours.preprocess(image)
    assert torch.equal(pixels, theirs.preprocess(image))
    with torch.no_grad():
        assert torch.allclose(ours.image_features(pixels[None]), theirs.image_features(pixels[None]), atol=1e-5)


def test_facts_and_fast_paths_are_the_same(both):
    ours, theirs = both
    assert ours.info == theirs.info
    assert ours.text_batching == "packed"
    assert ours._reads_class_token
    assert ours.fingerprint
    assert ours.logit_scale == theirs.logit_scale


def test_nothing_of_transformers_is_imported():
    code = (
        "import sys, clipbench; clipbench.evaluate('demo', 'scenes_color', limit=3);"
        "print([name for name in sys.modules if name.split('.')[0] in ('transformers', 'open_clip', 'timm')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("bias", [None, -2.5])
def test_what_it_saves_is_a_transformers_checkpoint(tmp_path, bias):
    model = load_model("demo")
    if bias is not None:
        model.add_logit_bias(bias)
    with torch.no_grad():
        model.module.visual_projection.weight.mul_(1.5)
    model.save(tmp_path / "model")
    loaded = load_model(str(tmp_path / "model"))
    tokens, pixels = model.tokenize(probes.TEXTS), model.preprocess(probes.gray_image())[None]
    with torch.no_grad():
        assert torch.allclose(model.text_features(tokens), loaded.text_features(tokens), atol=1e-5)
        assert torch.allclose(model.image_features(pixels), loaded.image_features(pixels), atol=1e-5)
    assert getattr(loaded.module, "logit_bias", None) == bias
    assert type(loaded.module).__name__ == "CLIPModel"


def gradients(checkpointing):
    model = load_model("demo")
    model.module.train()
    if checkpointing:
        checkpoint_gradients(model)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda t: t):
        features = model.text_features(model.tokenize(probes.TEXTS))
        pixels = torch.stack([model.preprocess(probes.noise_image(80 + each, 70)) for each in range(2)])
        loss = features.square().sum() + model.image_features(pixels).square().sum()
    loss.backward()
    return {name: weight.grad for name, weight in model.module.named_parameters()}, sum(kept)


def test_gradient_checkpointing_keeps_less_and_changes_nothing():
    (plain, whole), (again, part) = gradients(False), gradients(True)
    assert part < whole / 2
    for name, gradient in plain.items():
        assert (gradient is None) == (again[name] is None), name
        if gradient is not None:
            assert torch.allclose(gradient, again[name], rtol=1e-4, atol=1e-5), name


def test_a_file_that_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "FOLDER", tmp_path)
    with pytest.raises(ModelError, match=r"not in this installation .*config.json.*reinstall"):
        load_model("demo")
