"""A last block that is computed where its states are read, against one that is computed everywhere."""

import pytest
import torch

from clipbench.models import last_block, load_model
from clipbench.models.gradient_checkpointing import checkpoint_gradients
from clipbench.models.last_block import read_tokens
from clipbench.models.probes import gray_image
from tests.models.conftest import TEXTS, assert_same_directions

CLIPS = [("model_families", name) for name in ("clip", "clip-legacy", "metaclip2", "altclip", "chinese-clip")]
CLIPS += [("kinds", name) for name in ("clip", "custom-text", "siglip")]
OTHERS = [("model_families", name) for name in ("siglip", "siglip2-naflex", "align")]
OTHERS += [("kinds", name) for name in ("resnet", "timm", "coca")]
LIBRARIES = pytest.mark.parametrize("library", [0, 1], ids=["transformers", "open_clip"])


def load(request, fixture, name):
    return load_model(str(request.getfixturevalue(fixture)(name)))


def noise(model, count=3):
    size = model.preprocess(gray_image()).shape
    return torch.rand(count, *size, generator=torch.Generator().manual_seed(0))


def packed(model, texts=TEXTS):
    rows = model.packed_text.pack(model.tokenize([f"{text} {end}" for text in texts for end in ("cat", "dog", "")]))
    return model.packed_text.features(rows)


def whole(monkeypatch):
    """Have every block called as a whole."""
    monkeypatch.setattr(last_block, "called_whole", lambda *modules: True)


def last_blocks(model):
    """The last block of the image tower and of the text tower."""
    module = model.module
    if hasattr(module, "vision_model"):
        return module.vision_model.encoder.layers[-1], module.text_model.encoder.layers[-1]
    return module.visual.transformer.resblocks[-1], module.transformer.resblocks[-1]


def test_places_of_read_tokens_by_hand():
    rows, positions = torch.tensor([0, 0, 1, 3, 3, 3]), torch.tensor([2, 5, 4, 1, 1, 3])
    read = read_tokens(rows, positions, count=4, most=3)
    assert read.slots.tolist() == [0, 1, 0, 0, 1, 2]
    assert read.queries.tolist() == [[2, 5, 0], [4, 0, 0], [0, 0, 0], [1, 1, 3]]
    states = torch.arange(4 * 6).reshape(4, 6, 1)
    assert read.of(states).flatten().tolist() == [2, 5, 10, 19, 19, 21]
    assert read.queried(states)[read.rows, read.slots].flatten().tolist() == [2, 5, 10, 19, 19, 21]


def test_the_mask_of_read_tokens():
    read = read_tokens(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]), count=2, most=2)
    mask = torch.arange(2 * 2 * 3 * 3).reshape(2, 2, 3, 3)
    assert read.queried_mask(mask).shape == (2, 2, 2, 3)
    assert read.queried_mask(mask)[1].equal(mask[1][:, [0, 2]])
    assert read.queried_mask(mask)[0, :, 0].equal(mask[0, :, 1])


@pytest.mark.parametrize(("fixture", "name"), CLIPS)
@torch.no_grad()
def test_image_features_are_the_librarys_own(request, fixture, name):
    model = load(request, fixture, name)
    assert model._reads_class_token
    pixels = noise(model)
    found = model.image_features(pixels)
    if fixture == "kinds":
        assert_same_directions(found, model.module.encode_image(pixels))
    else:
        assert_same_directions(found, model.module.get_image_features(pixel_values=pixels).pooler_output)


@pytest.mark.parametrize(("fixture", "name"), OTHERS)
def test_other_image_towers_are_run_as_they_are(request, fixture, name):
    assert not load(request, fixture, name)._reads_class_token


@LIBRARIES
def test_gradients_are_those_of_whole_blocks(pair, library, monkeypatch):
    model = load_model(str(pair[library]))
    model.module.train()

    def gradients():
        model.module.zero_grad()
        (model.image_features(noise(model)).square().sum() + packed(model).square().sum()).backward()
        return {
            name: weight.grad.clone() for name, weight in model.module.named_parameters() if weight.grad is not None
        }

    found = gradients()
    whole(monkeypatch)
    expected = gradients()
    assert found.keys() == expected.keys()
    # Gradients of key biases are nothing but rounding errors of the others.
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6 * largest, msg=name)


@LIBRARIES
@torch.no_grad()
def test_the_last_mlp_sees_read_tokens_only(pair, library):
    model = load_model(str(pair[library]))
    seen = []
    for block in last_blocks(model):
        block.mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[:-1].numel()))
    model.image_features(noise(model, count=3))
    packed(model)
    assert seen == [3, 3 * len(TEXTS)]


@LIBRARIES
@pytest.mark.parametrize("why", ["hook on the block", "hook on its attention", "checkpointing"])
def test_blocks_that_others_rely_on_are_called_whole(pair, library, why):
    model = load_model(str(pair[library]))
    with torch.no_grad():
        expected = model.image_features(noise(model)), packed(model)
    seen = []
    for block in last_blocks(model):
        block.mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].ndim))
        if why == "hook on the block":
            block.register_forward_hook(lambda *_: None)
        elif why == "hook on its attention":
            (block.self_attn if library == 0 else block.attn).register_forward_pre_hook(lambda *_: None)
    if why == "checkpointing":
        checkpoint_gradients(model)
    found = model.image_features(noise(model)), packed(model)
    assert seen == [3, 3]  # (B, L, W), not (N, W)
    for one, other in zip(found, expected, strict=True):
        assert_same_directions(one, other)


@LIBRARIES
@torch.no_grad()
def test_an_image_tower_that_is_built_otherwise_is_run_as_it_is(pair, library, monkeypatch):
    name = "transformers_states" if library == 0 else "open_clip_states"
    original = getattr(last_block, name)
    monkeypatch.setattr(last_block, name, lambda *inputs: original(*inputs) * torch.linspace(0.9, 1.1, 64))
    model = load_model(str(pair[library]))
    assert not model._reads_class_token

    def refuses(*inputs):
        raise TypeError("unexpected")

    monkeypatch.setattr(last_block, name, refuses)
    model = load_model(str(pair[library]))
    assert not model._reads_class_token
    pixels = noise(model)
    own = model.module.get_image_features(pixel_values=pixels).pooler_output if library == 0 else None
    own = model.module.encode_image(pixels) if own is None else own
    assert model.image_features(pixels).equal(own)
