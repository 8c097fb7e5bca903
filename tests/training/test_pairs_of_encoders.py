"""Whole trainings of paired encoders: a frozen tower with a trained projection, centering, resuming."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clipbench.errors import ConfigError, ResultError
from clipbench.models import load_model
from clipbench.training import checkpoints
from tests.models.paired.encoders import build_image_encoder, build_text_encoder
from tests.training.gradients import gradients


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    root = tmp_path_factory.mktemp("encoders")
    vision, text = (
        build(root / kind, name)
        for kind, name, build in (
            ("image", "timm test_efficientnet", build_image_encoder), ("text", "distilbert", build_text_encoder)
        )
    )  # fmt: skip
    return {"vision": str(vision), "text": str(text), "projection_dim": 16}


def finish(run):
    for _ in run.run():
        pass
    return load_file(run.setup.folder.path / "model.safetensors")


def test_a_frozen_tower_stays_and_its_projection_learns(start, arguments, tmp_path):
    run = start(tmp_path, model="dual_encoder", model_args=arguments, freeze=("image",), max_steps=2)
    before = {name: tensor.clone() for name, tensor in run.setup.model.module.state_dict().items()}
    after = finish(run)
    assert run.setup.image_features
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert not any(name.startswith("vision_model.") for name in moved)
    assert {"visual_projection.weight", "text_projection.weight", "logit_scale"} <= moved
    assert load_model(str(tmp_path)).info.architecture == "TimmWrapperModel (pooler) + DistilBertModel (mean)"
    assert "pooling: image=pooler, text=mean" in run.notes


@pytest.mark.parametrize("centered", [False, True])
def test_gradients_from_cached_tower_features_are_those_from_pixels(start, arguments, tmp_path, centered, monkeypatch):
    fields = {"model": "dual_encoder", "model_args": arguments, "freeze": ("image",), "center_images": centered}
    cached = start(tmp_path / "cached", **fields)
    fast = gradients(cached)
    from clipbench.training import setup

    monkeypatch.setattr(setup.Recipe, "keeps_image_tower", property(lambda recipe: False))
    monkeypatch.setattr(setup.Recipe, "_check_freezing", lambda recipe: None)
    live = start(tmp_path / "live", **fields)
    assert not live.setup.image_features
    if centered:
        live.setup.model.center_images(cached.setup.model.module.visual_mean)
    tower = live.setup.model.module.vision_model.eval()
    monkeypatch.setattr(tower, "train", lambda mode: tower)  # as training_mode leaves it
    slow = gradients(live)
    assert fast.keys() == slow.keys()
    for name, gradient in fast.items():
        torch.testing.assert_close(gradient, slow[name], rtol=1e-4, atol=1e-6)


def test_the_mean_that_is_taken_out_is_that_of_the_training_images(start, arguments, tmp_path):
    run = start(
        tmp_path, model="dual_encoder", model_args=arguments, freeze=("image",), center_images=True, max_steps=2
    )
    plain = load_model("dual_encoder", model_args=arguments, device="cpu")
    with torch.no_grad():
        images = [plain.preprocess(image.open()) for image in run.setup.pairs.images]
        mean = plain.image_tower_features(torch.stack(images)).double().mean(0).float()
    finish(run)
    again = load_model(str(tmp_path), device="cpu")
    torch.testing.assert_close(again.module.visual_mean, mean, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        tower = again.image_tower_features(torch.stack(images))
        centered = (tower - mean) @ again.module.visual_projection.weight.T
        torch.testing.assert_close(again.image_features(torch.stack(images)), centered, rtol=1e-4, atol=1e-5)


def test_a_centered_run_with_rates_by_layer_is_resumed_to_the_bit(start, arguments, tmp_path, monkeypatch):
    fields = {
        "model": "dual_encoder", "model_args": arguments, "freeze": ("image",), "center_images": True,
        "layer_decay": 0.5, "projection_learning_rate": 1e-2, "max_steps": 6, "checkpoint_every": 1.0,
    }  # fmt: skip
    whole = finish(start(tmp_path / "whole", **fields))
    written = checkpoints.write_checkpoint
    interrupted = start(tmp_path / "parts", **fields)
    stop = iter([False, True])

    def once(*arguments, **named):
        if next(stop, True):
            raise KeyboardInterrupt
        return written(*arguments, **named)

    monkeypatch.setattr("clipbench.training.trainer.write_checkpoint", once)
    with pytest.raises((KeyboardInterrupt, ResultError)):
        finish(interrupted)
    monkeypatch.setattr("clipbench.training.trainer.write_checkpoint", written)
    resumed = start(tmp_path / "parts", **fields)
    parts = finish(resumed)
    assert any("resuming from step 3" in note for note in resumed.notes)
    assert whole.keys() == parts.keys()
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())


def test_a_model_whose_checkpoint_holds_no_mean_is_refused(start, tmp_path):
    with pytest.raises(ConfigError, match="center_images: demo cannot hold a mean of image features"):
        start(tmp_path, freeze=("image",), center_images=True)


def test_nothing_left_to_train_is_refused(start, tmp_path, tmp_path_factory):
    from tests.models.builders import build_siglip

    model = build_siglip(tmp_path_factory.mktemp("models") / "siglip")
    with pytest.raises(ConfigError, match="freeze image,text: nothing is left to train in"):
        start(tmp_path, model=model, freeze=("image", "text"))


def test_an_earlier_run_with_a_frozen_tower_had_its_projection_frozen_too(start, tmp_path):
    run = start(tmp_path, freeze=("image", "image_projection"), max_steps=1)
    finish(run)
    file = tmp_path / "finetune.json"
    facts = json.loads(file.read_text())
    facts["recipe"]["freeze"] = ["image"]
    for name in ("unfreeze_image_layers", "unfreeze_text_layers", "layer_decay"):
        del facts["recipe"][name]
    file.write_text(json.dumps(facts))
    start(tmp_path, freeze=("image", "image_projection"), max_steps=1)
    with pytest.raises(
        ConfigError, match=r"another recipe: freeze is \['image', 'image_projection'\], not \['image'\]"
    ):
        start(tmp_path, freeze=("image",), max_steps=1)


def test_a_frozen_tower_encodes_an_image_once_for_all_runs(start, arguments, tmp_path, monkeypatch):
    from clipbench.models.paired.model import PairedModel

    encoded = []
    tower = PairedModel.image_tower_features
    monkeypatch.setattr(
        PairedModel, "image_tower_features", lambda model, pixels: encoded.append(len(pixels)) or tower(model, pixels)
    )

    def images_encoded(name, **fields):
        encoded.clear()
        how = {"model": "dual_encoder", "model_args": arguments, "image_cache": tmp_path / "cache", **fields}
        run = start(tmp_path / name, freeze=("image",), max_steps=2, **how)
        finish(run)
        return sum(encoded) - 2, run  # the two of noise tell which tower it is

    first, one = images_encoded("one", center_images=True)
    images = one.setup.pairs.images
    assert first == len(images)
    again, two = images_encoded("two", seed=1)
    assert again == 0
    pixels = torch.stack([two.setup.model.preprocess(image.open()) for image in images])
    with torch.no_grad():
        expected = tower(two.setup.model, pixels)
    kept = two.setup.batches._images.batch(np.arange(len(images)))
    torch.testing.assert_close(kept, expected, rtol=1e-4, atol=1e-5)
    trained = load_model(str(tmp_path / "one"), device="cpu")
    assert images_encoded("three", model=tmp_path / "one", model_args={})[0] == 0  # its tower is still the same
    with torch.no_grad():
        next(trained.module.vision_model.parameters()).add_(1)
    trained.save(tmp_path / "moved")
    assert images_encoded("four", model=tmp_path / "moved", model_args={})[0] == first
    assert images_encoded("five", image_cache="none")[0] + 2 == first  # nothing is kept, so nothing is looked up


def test_texts_in_chunks_of_like_length_have_the_gradients_of_all_at_once(start, arguments, tmp_path, monkeypatch):
    def of_chunks(size):
        monkeypatch.setattr("clipbench.training.gradient_cache._CHUNK", size)
        run = start(tmp_path / str(size), model="dual_encoder", model_args=arguments, freeze=("image",), negatives=2)
        text = run.setup.model.module.text_model.eval()  # dropout would draw for each chunk
        monkeypatch.setattr(text, "train", lambda mode: text)
        return gradients(run)

    whole, cut = of_chunks(1_000), of_chunks(5)  # of 24 texts
    assert whole.keys() == cut.keys()
    assert any(name.startswith("text_model.") for name in whole)
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-4, atol=1e-6)
