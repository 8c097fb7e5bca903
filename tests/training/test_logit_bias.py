"""The sigmoid loss's bias: a model's own, or one that is made, trained, saved and read back."""

import json

import numpy as np
import pytest
import torch

from clipbench.models import load_model
from clipbench.training.freezing import freeze, logit_bias_parameter
from clipbench.training.interpolation import interpolate
from clipbench.training.logit_bias import best_bias
from clipbench.training.losses import HardNegatives, LossInputs
from clipbench.training.losses.sigmoid import sigmoid
from tests.models.builders import FAMILIES
from tests.oracles import numbered_image

TEXTS = ["a red cat", "two dogs"]


def features(model):
    pixels = torch.stack([model.preprocess(numbered_image(number)) for number in range(2)])
    with torch.no_grad():
        return torch.cat([model.image_features(pixels), model.text_features(model.tokenize(TEXTS))])


def bias_of(model):
    return float(logit_bias_parameter(model).detach())


def test_the_fitted_bias_is_that_of_a_search():
    generator = torch.Generator().manual_seed(0)
    images, texts = (
        torch.nn.functional.normalize(torch.randn(6, 5, dtype=torch.float64, generator=generator), dim=-1)
        for _ in range(2)
    )
    negatives = HardNegatives(torch.nn.functional.normalize(texts[:, None] + 0.2, dim=-1))
    inputs = LossInputs(images, texts, torch.tensor(20.0), negatives)

    def loss(bias):
        return sigmoid(LossInputs(images, texts, inputs.scale, negatives, bias=torch.tensor(bias))).item()

    candidates = np.arange(-60, 60, 0.01)
    assert best_bias(inputs) == pytest.approx(candidates[np.argmin([loss(bias) for bias in candidates])], abs=0.011)


@pytest.mark.parametrize("kind", ["transformers", "open_clip"])
def test_a_model_without_a_bias_gets_one_which_is_trained_saved_and_read_back(
    start, tmp_path, tiny_clip, tiny_open_clip, kind
):
    model = tiny_clip if kind == "transformers" else tiny_open_clip
    run = start(tmp_path / "out", model=model, loss="sigmoid", max_steps=2, learning_rate=1e-2)
    (note,) = [note for note in run.notes if "logit bias" in note]
    fitted = bias_of(run.setup.model)
    assert f"from {fitted:g}" in note
    list(run.run())
    trained, expected = bias_of(run.setup.model), features(run.setup.model)
    assert 0 < abs(trained - fitted) <= 0.021  # two steps of AdamW at 1e-2
    again = load_model(str(tmp_path / "out"))
    assert bias_of(again) == trained
    torch.testing.assert_close(features(again), expected)
    again.save(tmp_path / "again")
    assert bias_of(load_model(str(tmp_path / "again"))) == trained
    if kind == "transformers":
        from transformers import CLIPModel

        _, found = CLIPModel.from_pretrained(tmp_path / "out", output_loading_info=True)
        assert not found["unexpected_keys"]
        assert bias_of(load_model(str(tmp_path / "out/open_clip"))) == trained
    second = start(tmp_path / "second", model=tmp_path / "out", loss="sigmoid", max_steps=1)
    assert not [note for note in second.notes if "logit bias" in note]
    assert bias_of(second.setup.model) == trained
    base, tuned = load_model(str(model)), load_model(str(tmp_path / "out"))
    with torch.no_grad():
        for alpha, between in interpolate(base, tuned, [0.0, 1.0]):
            ends = features(tuned) if alpha else features(load_model(str(model)))
            torch.testing.assert_close(features(between), ends)


def test_siglips_own_bias_is_trained_with_the_sigmoid_loss_only(tmp_path):
    path = FAMILIES["siglip"](tmp_path / "siglip")
    model = load_model(str(path))
    assert "logit_bias" in freeze(model)
    model = load_model(str(path))
    assert "logit_bias" not in freeze(model, train_bias=True)
    assert model.module.logit_bias.requires_grad


def test_siglip_is_fine_tuned_with_its_loss_and_keeps_its_scale(start, tmp_path):
    path = FAMILIES["siglip"](tmp_path / "siglip")
    model = load_model(str(path))
    with torch.no_grad():
        model.module.logit_scale.fill_(np.log(117.0))
        model.module.logit_bias.fill_(-12.0)
    model.save(tmp_path / "scaled")
    run = start(tmp_path / "out", model=tmp_path / "scaled", loss="sigmoid", negatives=2, max_steps=2)
    list(run.run())
    assert not [note for note in run.notes if "logit_bias" in note]
    again = load_model(str(tmp_path / "out"))
    assert bias_of(again) != -12.0
    assert again.logit_scale.item() == pytest.approx(117, rel=0.01)  # CLIP's bound of 100 is not SigLIP's


def test_a_resumed_sigmoid_run_reaches_the_same_weights(start, tmp_path):
    whole = start(tmp_path / "whole", loss="sigmoid", checkpoint_every=0.34)
    list(whole.run())
    for event in start(tmp_path / "cut", loss="sigmoid", checkpoint_every=0.34).run():
        if getattr(event, "step", 0) == 2 and hasattr(event, "path"):
            break
    list(start(tmp_path / "cut", loss="sigmoid", checkpoint_every=0.34).run())
    one, two = (load_model(str(tmp_path / name)).module.state_dict() for name in ("whole", "cut"))
    assert "logit_bias" in one
    assert all(one[name].equal(two[name]) for name in one)
    assert json.loads((tmp_path / "cut/finetune.json").read_text())["recipe"]["loss"] == "sigmoid"
