from __future__ import annotations

import math

import pytest
import torch

from clipbench.errors import ConfigError
from clipbench.models import load_model
from clipbench.training.freezing import (
    PARTS,
    clamp_logit_scale,
    freeze,
    frozen_modules,
    logit_scale_parameter,
    training_mode,
    weight_decay_groups,
)
from clipbench.training.towers import find_towers
from tests.models.builders import build_bert, build_vit
from tests.training.architectures import (
    ARCHITECTURES,
    backward,
    copied_state,
    features,
    load,
    pixels_for,
    same_state,
    step,
    trained_names,
)

SCALES = ("logit_scale", "temperature")
IMAGE = ("vision_model.", "visual_projection.", "visual.")
UNUSED = ("logit_bias", "text_decoder.")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("architectures")


@pytest.fixture(params=ARCHITECTURES)
def model(request, root):
    return load(request.param, root)


@pytest.fixture
def clip(root):
    return load("clip", root)


PROJECTIONS = {
    "image": ("visual_projection.", "visual.proj", "visual.head.proj.", "visual.head.mlp."),
    "text": ("text_projection", "text.text_projection", "text.proj."),
}


def names_by_hand(model):
    """Which parameter belongs where, by the libraries' names: both towers, what is unused, both projections."""
    names = [name for name, _ in model.module.named_parameters()]
    align = hasattr(model.module, "temperature")
    unused = [n for n in names if n.startswith(UNUSED) or (align and n.startswith("text_model.pooler."))]
    image_projection, text_projection = (
        {name for name in names if name.startswith(PROJECTIONS[side]) and name not in unused}
        for side in ("image", "text")
    )
    image = {name for name in names if name.startswith(IMAGE)} - image_projection
    text = set(names) - {*SCALES, *unused} - image - image_projection - text_projection
    return image, text, unused, image_projection, text_projection


def test_freezing_takes_a_tower_and_neither_its_projection_nor_anything_else(model):
    image, text, unused, image_projection, text_projection = names_by_hand(model)
    scale = {name for name, _ in model.module.named_parameters() if name in SCALES}
    projections = image_projection | text_projection
    assert freeze(model) == tuple(unused)
    assert trained_names(model) == image | text | scale | projections
    freeze(model, ["text"])
    assert trained_names(model) == image | scale | projections
    freeze(model, {"image"})
    assert trained_names(model) == scale | projections
    if image_projection:
        freeze(model, ["image_projection"])
        assert trained_names(model) == scale | text_projection
    if text_projection:
        freeze(model, ["text_projection", "text"])
        assert trained_names(model) == scale | (trained_names(model) & image_projection)


@pytest.mark.parametrize("name", ["siglip", "align", "open_clip resnet"])
def test_a_projection_that_does_not_exist_cannot_be_frozen(name, root):
    model = load(name, root)
    with pytest.raises(ConfigError, match=r"freeze image_projection: .* has no image projection apart"):
        freeze(model, ["image", "image_projection"])
    assert model.projection_parameters("image") == frozenset()


def test_tower_features_and_the_projection_make_the_features(model):
    pixels = pixels_for(model)
    with torch.no_grad():
        tower = model.image_tower_features(pixels)
        assert torch.equal(model.project_images(tower), model.image_features(pixels))
        assert model.projection_parameters("image") or torch.equal(tower, model.image_features(pixels))
    backward_of = model.project_images(tower).sum()
    if model.projection_parameters("image"):
        reached = torch.autograd.grad(
            backward_of, [model.module.get_parameter(name) for name in sorted(model.projection_parameters("image"))]
        )
        assert all(gradient.any() for gradient in reached)


@pytest.mark.parametrize("frozen", ["image", "text"])
def test_a_frozen_tower_is_the_same_after_training(model, frozen):
    side = ("image", "text").index(frozen)
    parts = [frozen, *([f"{frozen}_projection"] if model.projection_parameters(frozen) else [])]
    freeze(model, parts)
    before, state = features(model), copied_state(model)
    training_mode(model.module, frozen_modules(model, parts))
    step(model, torch.optim.AdamW(weight_decay_groups(model, 0.5), lr=0.01))
    with torch.no_grad():
        assert torch.equal(features(model)[side], before[side])  # in training: no dropout in it either
    model.module.eval()
    assert torch.equal(features(model)[side], before[side])
    assert not torch.allclose(features(model)[1 - side], before[1 - side], rtol=1e-3)
    now, trained = model.module.state_dict(), trained_names(model)
    for name, parameter in model.module.named_parameters():
        assert name in trained or torch.equal(now[name], state[name]), name
        assert (parameter.grad is None) == (name not in trained), name


def test_finding_towers_changes_nothing(model):
    model.module.train()
    next(model.module.children()).eval()
    next(model.module.parameters()).requires_grad_(False)
    modes, trained, state = (
        [part.training for part in model.module.modules()],
        trained_names(model),
        copied_state(model),
    )
    random_state = torch.get_rng_state()
    find_towers(model)
    assert modes == [part.training for part in model.module.modules()]
    assert trained == trained_names(model)
    assert same_state(state, model.module.state_dict())
    assert all(parameter.grad is None for parameter in model.module.parameters())
    assert torch.equal(random_state, torch.get_rng_state())
    assert not any(part._forward_pre_hooks for part in model.module.modules())


def test_weights_that_were_frozen_are_found_and_stay_frozen(clip):
    clip.module.vision_model.requires_grad_(False)
    assert "vision_model.post_layernorm.weight" in find_towers(clip)["image"].parameters
    freeze(clip, ["text"])
    assert trained_names(clip) == {"visual_projection.weight", "text_projection.weight", "logit_scale"}


def test_a_parameter_of_both_towers_is_frozen_with_either(clip):
    clip.module.text_projection.weight = clip.module.visual_projection.weight
    towers = find_towers(clip)
    assert towers["image"].parameters & towers["text"].parameters == {"visual_projection.weight"}
    assert clip.projection_parameters("text") == {"visual_projection.weight"}
    freeze(clip, ["text_projection"])
    assert "visual_projection.weight" not in trained_names(clip)


@pytest.mark.parametrize("function", [freeze, frozen_modules])
def test_an_unknown_tower_is_named(clip, function):
    with pytest.raises(ConfigError, match=r"unknown tower 'images' \(did you mean image\?\): one of image, text, "):
        function(clip, ["images"])


def test_the_logit_scale_is_the_parameter_behind_the_scale(model):
    parameter = logit_scale_parameter(model)
    (gradient,) = torch.autograd.grad(model.logit_scale, parameter)
    assert gradient.abs().item() > 0


@pytest.mark.parametrize("maximum", [100.0, 20.0])
def test_the_logit_scale_is_clamped_from_above_only(model, maximum):
    parameter = logit_scale_parameter(model)
    by_temperature = hasattr(model.module, "temperature")
    for scale, expected in [(maximum * 1.5, maximum), (maximum * 0.5, maximum * 0.5)]:
        torch.nn.init.constant_(parameter, 1 / scale if by_temperature else math.log(scale))
        clamp_logit_scale(model, maximum)
        assert model.logit_scale.item() == pytest.approx(expected, rel=1e-5)
    assert parameter.requires_grad


def test_a_model_without_a_scale_is_left_alone(clip):
    del clip.module.logit_scale
    assert logit_scale_parameter(clip) is None
    clamp_logit_scale(clip)


@pytest.mark.parametrize("name", ["clip", "siglip", "open_clip clip", "open_clip resnet"])
def test_decay_is_for_matrices_and_kernels(name, root):
    model = load(name, root)
    freeze(model, ["text"])
    decayed, others = weight_decay_groups(model, 0.1)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in model.module.named_parameters()}
    grouped = [names[id(parameter)] for group in (decayed, others) for parameter in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == trained_names(model)
    vectors = ("norm", "ln_", "bn", ".bias", "class_embedding", "logit_scale", "downsample.1.")
    by_name = {name for name in grouped if any(part in name for part in vectors)}
    # in_proj_bias of attention, too
    by_name |= {name for name in grouped if name.endswith("in_proj_bias")}
    assert {names[id(parameter)] for parameter in others["params"]} == by_name
    order = [name for name, _ in model.module.named_parameters()]
    for group in (decayed, others):
        positions = [order.index(names[id(parameter)]) for parameter in group["params"]]
        assert positions == sorted(positions)


def test_an_empty_group_is_left_out(clip):
    freeze(clip, PARTS)
    (group,) = weight_decay_groups(clip, 0.1)
    assert group == {"params": [clip.module.logit_scale], "weight_decay": 0.0}


def test_dropout_is_of_the_trained_tower_only(root):
    model = load("chinese-clip", root)
    for frozen, same in [((), False), (["image"], False), (["text"], True)]:
        training_mode(model.module, frozen_modules(model, frozen))
        assert torch.equal(features(model)[1], features(model)[1]) == same
    assert model.module.vision_model.encoder.training


def test_batch_statistics_follow_their_weights(root):
    model = load("open_clip resnet", root)

    def moves():
        before = model.module.visual.bn1.running_mean.clone()
        features(model)
        return not torch.equal(before, model.module.visual.bn1.running_mean)

    training_mode(model.module, frozen_modules(model))
    assert moves()
    training_mode(model.module, frozen_modules(model, ["image"]))
    assert not moves()
    model.module.visual.bn1.requires_grad_(False)
    training_mode(model.module, frozen_modules(model))
    assert not moves()


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    root = tmp_path_factory.mktemp("encoders")
    return {"vision": str(build_vit(root / "vit")), "text": str(build_bert(root / "bert")), "projection_dim": 16}


def test_two_encoders_are_paired_alike_each_time(encoders):
    first, again, other = (
        load_model("dual_encoder", model_args=encoders | seed) for seed in ({}, {"seed": 0}, {"seed": 1})
    )
    assert same_state(first.module.state_dict(), again.module.state_dict())
    assert first.fingerprint == again.fingerprint
    assert not torch.equal(first.module.visual_projection.weight, other.module.visual_projection.weight)


def test_a_pair_of_encoders_trains_and_is_saved(encoders, tmp_path):
    model = load_model("dual_encoder", model_args=encoders, dtype="float32", device="cpu")
    assert freeze(model) == ()
    training_mode(model.module, frozen_modules(model))
    before = [tensor.detach() for tensor in features(model)]
    backward(model)
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.module.parameters())
    torch.optim.AdamW(weight_decay_groups(model, 0.1), lr=0.01).step()
    model.module.eval()
    after = features(model)
    assert not any(torch.allclose(left, right, rtol=1e-2) for left, right in zip(before, after, strict=True))
    model.save(tmp_path / "saved")
    again = features(load_model(str(tmp_path / "saved"), dtype="float32", device="cpu"))
    for left, right in zip(after, again, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-6)
