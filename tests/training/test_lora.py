from __future__ import annotations

import copy
import sys

import pytest
import torch

from clipbench.errors import ConfigError
from clipbench.models import load_model
from clipbench.training.freezing import freeze, weight_decay_groups
from clipbench.training.lora import add_lora, merged
from tests.models.conftest import assert_same_directions
from tests.training.architectures import (
    ARCHITECTURES,
    CONVOLUTIONAL,
    backward,
    copied_state,
    features,
    load,
    same_state,
    step,
    trained_names,
)

pytest.importorskip("peft")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("architectures")


@pytest.fixture
def open_clip(root):
    return load("open_clip clip", root)


@pytest.fixture
def clip(root):
    return load("clip", root)


@pytest.fixture(params=ARCHITECTURES)
def adapted(request, root):
    """A model of every architecture with LoRA in each tower that can have it, and the same one without."""
    plain, model = load(request.param, root), load(request.param, root)
    freeze(model, ["image"] if request.param in CONVOLUTIONAL else [])
    add_lora(model, rank=3, alpha=6)
    return plain, model


def optimizer_of(model):
    return torch.optim.AdamW(weight_decay_groups(model, 0.1), lr=0.01)


def lora_names(model):
    return {name for name in trained_names(model) if ".lora_" in name}


@torch.no_grad()
def assert_same_features(left, right):
    for one, other in zip(features(left), features(right), strict=True):
        assert_same_directions(one, other)


def test_an_update_starts_at_nothing_and_every_part_of_it_then_learns(adapted):
    plain, model = adapted
    assert_same_features(plain, model)
    optimizer = optimizer_of(model)
    step(model, optimizer)
    ups = [name for name in lora_names(model) if ".lora_B." in name]
    parameters = dict(model.module.named_parameters())
    assert all(parameters[name].grad.any() for name in ups)
    step(model, optimizer)
    for name in trained_names(model):
        assert parameters[name].grad is not None, name
        assert parameters[name].grad.any(), name


def test_only_updates_and_the_scale_are_trained(adapted):
    _, model = adapted
    others = trained_names(model) - lora_names(model)
    expected = {"logit_scale"} if hasattr(model.module, "logit_scale") else {"temperature"}
    if type(model.module).__name__ == "VisionTextDualEncoderModel":
        expected |= {"visual_projection.weight", "text_projection.weight"}
    assert others == expected
    for name in lora_names(model):
        assert dict(model.module.named_parameters())[name].dtype == torch.float32


def test_a_merged_checkpoint_is_an_ordinary_one_with_equal_features(adapted, tmp_path):
    plain, model = adapted
    optimizer = optimizer_of(model)
    for _ in range(2):
        step(model, optimizer)
    with torch.no_grad():
        expected = features(model)
    with merged(model):
        state = copied_state(model)
        model.save(tmp_path / "saved")
        fingerprint = model.fingerprint
    assert state.keys() == plain.module.state_dict().keys()
    again = load_model(str(tmp_path / "saved"), dtype="float32", device="cpu")
    assert again.fingerprint == fingerprint != plain.fingerprint
    with torch.no_grad():
        for one, other in zip(features(again), expected, strict=True):
            assert_same_directions(one, other)
    assert not torch.allclose(expected[1], features(plain)[1], rtol=1e-2)


def test_training_goes_on_as_if_nothing_had_been_merged(adapted):
    _, model = adapted
    twin = copy.deepcopy(model, {id(model.tokenizer): model.tokenizer})
    optimizer, undisturbed = optimizer_of(model), optimizer_of(twin)
    for _ in range(2):
        step(model, optimizer)
        step(twin, undisturbed)
        with merged(model), torch.no_grad():
            features(model)
        with torch.no_grad():
            features(model)
    assert same_state(model.module.state_dict(), twin.module.state_dict())
    assert trained_names(model) == trained_names(twin)


@pytest.mark.parametrize("frozen", ["image", "text"])
@pytest.mark.parametrize("name", ["clip", "siglip", "open_clip clip", "open_clip coca", "open_clip timm"])
def test_a_frozen_tower_gets_no_updates(name, frozen, root):
    model = load(name, root)
    freeze(model, [frozen])
    counts = add_lora(model, rank=2, alpha=2)
    images = {name for name in lora_names(model) if name.startswith(("vision_model.", "visual."))}
    of = {"image": images, "text": lora_names(model) - images}
    assert counts[frozen] == len(of.pop(frozen)) == 0
    ((trained, names),) = of.items()
    assert counts[trained] * 2 == len(names) > 0  # lora_A and lora_B of each layer


def test_the_layers_of_both_libraries_clips_are_the_expected_ones(clip, open_clip):
    assert add_lora(clip, rank=2, alpha=2) == {"image": 12, "text": 12}  # 2 blocks of q, k, v, out, fc1, fc2
    assert add_lora(open_clip, rank=2, alpha=2) == {"image": 6, "text": 6}  # 2 blocks of in_proj, c_fc, c_proj


@pytest.mark.parametrize("layer", ["transformer.resblocks.1.mlp.c_fc", "visual.transformer.resblocks.0.attn"])
def test_merged_weights_are_base_plus_scaled_product(open_clip, layer):
    name = f"{layer}.in_proj_weight" if layer.endswith("attn") else f"{layer}.weight"
    base = open_clip.module.state_dict()[name].clone()
    add_lora(open_clip, rank=4, alpha=2)
    step(open_clip, optimizer_of(open_clip))
    state = open_clip.module.state_dict()
    down, up = state[f"{layer}.lora_A.default.weight"], state[f"{layer}.lora_B.default.weight"]
    assert (down.shape[0], up.shape[1]) == (4, 4)
    with merged(open_clip):
        torch.testing.assert_close(open_clip.module.state_dict()[name], base + 0.5 * up @ down)


def test_an_error_within_puts_the_layers_back(clip):
    add_lora(clip, rank=2, alpha=2)
    step(clip, optimizer_of(clip))
    state = copied_state(clip)
    with pytest.raises(RuntimeError, match="disk"), merged(clip):
        raise RuntimeError("disk")
    assert same_state(state, clip.module.state_dict())


def test_every_merged_state_has_its_own_fingerprint(open_clip):
    add_lora(open_clip, rank=2, alpha=2)
    open_clip.module.logit_scale.requires_grad_(False)
    optimizer, seen = optimizer_of(open_clip), set()
    for _ in range(3):
        with merged(open_clip):
            seen.add(open_clip.fingerprint)
        step(open_clip, optimizer)
    assert len(seen) == 3


def test_a_seed_gives_one_initialisation_and_leaves_the_global_one_alone(root):
    states = []
    for seed in (0, 0, 1):
        model = load("open_clip clip", root)
        torch.manual_seed(len(states))
        random_state = torch.get_rng_state()
        add_lora(model, rank=2, alpha=2, seed=seed)
        assert torch.equal(random_state, torch.get_rng_state())
        states.append(model.module.state_dict())
    assert same_state(states[0], states[1])
    assert not same_state(states[0], states[2])


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_below_one_is_an_error(clip, rank):
    with pytest.raises(ConfigError, match=f"lora_rank {rank}: give 1 or more"):
        add_lora(clip, rank=rank, alpha=2)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_a_tower_without_linear_layers_must_be_frozen(name, root):
    with pytest.raises(ConfigError, match="no linear layer of the image tower can have LoRA: freeze it"):
        add_lora(load(name, root), rank=2, alpha=2)


def test_without_peft_the_install_command_is_named(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"pip install 'clipbench\[lora\]'"):
        add_lora(clip, rank=2, alpha=2)


def test_plain_transformers_reads_a_merged_checkpoint(clip, tmp_path):
    from transformers import CLIPModel

    add_lora(clip, rank=2, alpha=2)
    step(clip, optimizer_of(clip))
    with merged(clip):
        clip.save(tmp_path / "saved")
    network = CLIPModel.from_pretrained(tmp_path / "saved")
    tokens = clip.tokenize(["a cat", "two dogs"])
    with torch.no_grad():
        assert_same_directions(network.get_text_features(**tokens.inputs).pooler_output, clip.text_features(tokens))


def test_plain_open_clip_reads_a_merged_checkpoint(open_clip, tmp_path):
    import open_clip as library

    add_lora(open_clip, rank=2, alpha=2)
    backward(open_clip)
    optimizer_of(open_clip).step()
    with merged(open_clip):
        open_clip.save(tmp_path / "saved")
    network = library.create_model(f"local-dir:{tmp_path / 'saved'}").eval()
    ids = library.get_tokenizer(f"local-dir:{tmp_path / 'saved'}")(["a cat", "two dogs"])
    with torch.no_grad():
        expected = open_clip.text_features(open_clip.tokenize(["a cat", "two dogs"]))
        assert_same_directions(network.encode_text(ids), expected)
