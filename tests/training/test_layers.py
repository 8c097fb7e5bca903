"""Layers of towers, found by running them; last layers that are trained; learning rates by layer."""

import pytest
import torch

from clipbench.errors import ConfigError
from clipbench.models import load_model
from clipbench.training.freezing import freeze, frozen_modules, training_mode
from clipbench.training.learning_rate import learning_rate
from clipbench.training.optimizer import Optimizer, peak_rates
from clipbench.training.recipe import Recipe
from clipbench.training.towers import find_layers, find_towers
from tests.models.paired.encoders import build_image_encoder, build_text_encoder
from tests.training.architectures import ARCHITECTURES, backward, features, load, trained_names

BLOCKS = {  # by the libraries' names; two of each in the tiny models
    "clip": ("vision_model.encoder.layers.", "text_model.encoder.layers."),
    "siglip": ("vision_model.encoder.layers.", "text_model.encoder.layers."),
    "chinese-clip": ("vision_model.encoder.layers.", "text_model.encoder.layer."),
    "open_clip clip": ("visual.transformer.resblocks.", "transformer.resblocks."),
    "open_clip hf-text": ("visual.transformer.resblocks.", "text.transformer.encoder.layer."),
}


def optimizer_of(model, **fields):
    recipe = Recipe(("color",), **fields)
    return Optimizer(model, recipe, peak_rates(model, recipe))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("architectures")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder, built = tmp_path_factory.mktemp("encoders"), {}

    def pair(vision, text="bert"):
        for kind, build in ((vision, build_image_encoder), (text, build_text_encoder)):
            if kind not in built:
                built[kind] = str(build(folder / kind.replace(" ", "-"), kind))
        names = {"vision": built[vision], "text": built[text], "projection_dim": 16}
        return load_model("dual_encoder", model_args=names, device="cpu")

    return pair


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_parameter_of_a_tower_is_in_one_layer(name, root):
    model = load(name, root)
    for side, tower in find_towers(model).items():
        layers = find_layers(model, side, tower)
        names = [parameter for layer in layers for parameter in layer.parameters]
        assert len(names) == len(set(names))
        assert set(names) == tower.parameters - model.projection_parameters(side)
        assert all(layer.parameters for layer in layers[1:-1])


@pytest.mark.parametrize("name", BLOCKS)
def test_layers_are_the_blocks_in_order(name, root):
    model = load(name, root)
    for (side, tower), prefix in zip(find_towers(model).items(), BLOCKS[name], strict=True):
        before, first, second, after = find_layers(model, side, tower)
        for number, layer in enumerate((first, second)):
            assert layer.parameters == {n for n in tower.parameters if n.startswith(f"{prefix}{number}.")}
        assert not any(n.startswith(prefix) for n in before.parameters | after.parameters)
        assert all("embed" in n or "conv1" in n or "ln_pre" in n or "pre_layrnorm" in n for n in before.parameters)
        assert all("norm" in n or "ln_" in n or "head" in n or "pooler" in n for n in after.parameters)


@pytest.mark.parametrize(
    ("kind", "prefixes"),
    [
        ("swin", ["encoder.layers.0.blocks.0", "encoder.layers.1.blocks.0", "encoder.layers.1.blocks.1"]),
        ("convnext", [f"encoder.stages.{s}.layers.{n}" for s, n in ((0, 0), (1, 0), (2, 0), (2, 1), (3, 0))]),
        ("resnet", ["encoder.stages.0.layers.0", "encoder.stages.1.layers.0", "encoder.stages.1.layers.1"]),
        ("timm test_vit", [f"timm_model.blocks.{number}" for number in range(6)]),
        ("timm test_resnet", [f"timm_model.layer{number}.0" for number in range(1, 5)]),
    ],
)
def test_blocks_of_stages_are_layers_one_after_the_other(encoder, kind, prefixes):
    model = encoder(kind)
    layers = find_layers(model, "image", find_towers(model)["image"])
    assert len(layers) == len(prefixes) + 2
    for layer, prefix in zip(layers[1:-1], prefixes, strict=True):
        own = {n for n, _ in model.module.named_parameters() if n.startswith(f"vision_model.{prefix}.")}
        assert own
        assert own <= layer.parameters


def test_the_last_layers_and_what_follows_them_are_trained(root):
    model = load("clip", root)
    freeze(model, ["image", "text", "text_projection"], {"image": 1})
    last = {n for n, _ in model.module.named_parameters() if n.startswith("vision_model.encoder.layers.1.")}
    top = {"vision_model.post_layernorm.weight", "vision_model.post_layernorm.bias"}
    assert trained_names(model) == last | top | {"visual_projection.weight", "logit_scale"}
    backward(model)
    assert all((weight.grad is not None) == weight.requires_grad for weight in model.module.parameters())


def test_dropout_is_on_in_the_unfrozen_layers_only(root):
    model = load("chinese-clip", root)
    training_mode(model.module, frozen_modules(model, ["text"], {"text": 1}))
    first, second = model.module.text_model.encoder.layer
    assert all(part.training for part in second.modules())
    seen = []
    first.register_forward_hook(lambda _, inputs, output: seen.append(output))
    assert not torch.equal(features(model)[1], features(model)[1])
    assert torch.equal(*(output if isinstance(output, torch.Tensor) else output[0] for output in seen))


def test_more_layers_than_there_are_cannot_be_unfrozen(root):
    with pytest.raises(ConfigError, match="unfreeze_image_layers 3: the image encoder of .* has 2 layers"):
        freeze(load("clip", root), ["image"], {"image": 3})


def rates_of(model, recipe, step=0, steps=10):
    """The rate of each trained parameter after a step."""
    optimizer = Optimizer(model, recipe, peak_rates(model, recipe))
    backward(model)
    optimizer.step(learning_rate(recipe, step, steps))
    names = {id(weight): name for name, weight in model.module.named_parameters()}
    return {names[id(weight)]: group["lr"] for group in optimizer.adamw.param_groups for weight in group["params"]}


def test_rates_fall_from_layer_to_layer(root):
    model = load("clip", root)
    freeze(model)
    rates = rates_of(model, Recipe(("color",), learning_rate=0.5, layer_decay=0.5))
    for tower in ("vision_model", "text_model"):
        assert rates[f"{tower}.encoder.layers.1.mlp.fc1.weight"] == 0.25
        assert rates[f"{tower}.encoder.layers.0.mlp.fc1.bias"] == 0.125
    assert rates["vision_model.post_layernorm.weight"] == rates["text_model.final_layer_norm.bias"] == 0.5
    assert rates["vision_model.embeddings.class_embedding"] == rates["vision_model.pre_layrnorm.weight"] == 0.0625
    assert rates["text_model.embeddings.token_embedding.weight"] == 0.0625
    assert rates["visual_projection.weight"] == rates["text_projection.weight"] == rates["logit_scale"] == 0.5
    assert set(rates) == trained_names(model)


def test_projections_have_a_rate_of_their_own(root):
    model = load("clip", root)
    freeze(model, ["image"])
    recipe = Recipe(
        ("color",),
        learning_rate=0.5,
        layer_decay=0.5,
        projection_learning_rate=2.0,
        lr_schedule="cosine",
        warmup_steps=2,
    )
    for step, share in ((0, 0.5), (1, 1.0), (6, 0.5)):
        rates = rates_of(model, recipe, step=step)
        assert rates["visual_projection.weight"] == rates["text_projection.weight"] == pytest.approx(2.0 * share)
        assert rates["logit_scale"] == pytest.approx(0.5 * share)
        assert rates["text_model.encoder.layers.1.mlp.fc1.weight"] == pytest.approx(0.25 * share)
        assert not any(name.startswith("vision_model.") for name in rates)


def test_one_rate_for_all_keeps_two_groups(root):
    model = load("clip", root)
    freeze(model)
    optimizer = optimizer_of(model, weight_decay=0.3)
    assert [group["weight_decay"] for group in optimizer.adamw.param_groups] == [0.3, 0.0]


def test_groups_of_each_rate_decay_matrices_only(root):
    model = load("clip", root)
    freeze(model)
    optimizer = optimizer_of(model, weight_decay=0.3, layer_decay=0.5)
    for group in optimizer.adamw.param_groups:
        assert {weight.ndim >= 2 for weight in group["params"]} == {group["weight_decay"] == 0.3}
    weights = [weight for group in optimizer.adamw.param_groups for weight in group["params"]]
    assert len(weights) == len(set(weights)) == len(trained_names(model))


def test_low_rank_adapters_have_their_layers_rate(root):
    from clipbench.training.lora import add_lora

    model = load("clip", root)
    freeze(model, ["image", "image_projection"])
    add_lora(model, rank=2, alpha=4)
    rates = rates_of(model, Recipe(("color",), learning_rate=0.5, layer_decay=0.5))
    updates = {name: rate for name, rate in rates.items() if ".lora_" in name}
    assert updates
    for name, rate in updates.items():
        assert rate == (0.25 if ".layers.1." in name else 0.125)


@pytest.mark.parametrize(
    ("name", "frozen", "fields", "message"),
    [
        (
            "siglip",
            [],
            {"projection_learning_rate": 0.1},
            "projection_learning_rate 0.1: no projection of .* is trained",
        ),
        ("clip", ["image", "text"], {"layer_decay": 0.5}, "layer_decay 0.5: no encoder of .* is trained"),
    ],
)
def test_rates_for_what_is_not_trained_are_refused(root, name, frozen, fields, message):
    model = load(name, root)
    freeze(model, frozen)
    with pytest.raises(ConfigError, match=message):
        optimizer_of(model, **fields)
