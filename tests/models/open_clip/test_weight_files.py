"""Files of weights as training scripts leave them: the same features as the network in memory, or a refusal."""

from __future__ import annotations

import argparse
import copy
import pathlib

import open_clip
import pytest
import torch

from clipbench.errors import ModelError
from clipbench.models import load_model
from tests.models.conftest import TEXTS, assert_same_directions

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}


def network_of(*, image_size=32, context_length=77, **options):
    config = copy.deepcopy(CONFIG)
    config["vision_cfg"]["image_size"] = image_size
    config["text_cfg"]["context_length"] = context_length
    torch.manual_seed(1)
    network = open_clip.CLIP(**config, **options).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "embedding" in name or parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return network


@pytest.fixture(autouse=True)
def architectures(monkeypatch):
    """``Tiny`` and its QuickGELU twin, and ``Lone``, which has none."""
    known = open_clip.factory._MODEL_CONFIGS
    monkeypatch.setitem(known, "Tiny", CONFIG)
    monkeypatch.setitem(known, "Tiny-quickgelu", {**CONFIG, "quick_gelu": True})
    lone = copy.deepcopy(CONFIG)
    lone["vision_cfg"]["layers"] = 1
    monkeypatch.setitem(known, "Lone", lone)


@torch.no_grad()
def assert_equal_features(model, network, image, size=32, context_length=77):
    transform = open_clip.image_transform(size, is_train=False)
    assert_same_directions(
        model.image_features(model.preprocess(image)[None]), network.encode_image(transform(image)[None])
    )
    texts = [*TEXTS, "two brown dogs " * 40]
    ids = open_clip.SimpleTokenizer(context_length=context_length)(texts)
    assert_same_directions(model.text_features(model.tokenize(texts)), network.encode_text(ids))


def save(content, path):
    torch.save(content, path)
    return path


def refusal(spec, **options):
    with pytest.raises(ModelError) as caught:
        load_model(str(spec), **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


def settings():
    return argparse.Namespace(
        model="Tiny", lr=1e-4, logs=pathlib.PurePosixPath("logs/run"), nested=argparse.Namespace(a=1)
    )


SAVED = {
    "plain": lambda state: state,
    "ddp": lambda state: {"epoch": 5, "name": "negclip", "state_dict": prefixed(state, "module.")},
    "compiled": lambda state: prefixed(state, "_orig_mod."),
    "compiled part": lambda state: {name.replace("visual.", "visual._orig_mod."): t for name, t in state.items()},
    "ddp of compiled": lambda state: prefixed(state, "module._orig_mod."),
    "compiled ddp": lambda state: prefixed(state, "_orig_mod.module."),
    "model_state_dict": lambda state: {
        "epoch": 1,
        "model_state_dict": state,
        "optimizer_state_dict": {"state": {0: {"step": torch.ones(())}}},
        "loss": torch.ones(()),
    },
    "model": lambda state: {"model": state, "scaler": {"scale": torch.ones(())}, "args": settings()},
    "lightning": lambda state: {"state_dict": prefixed(state, "model."), "hyper_parameters": settings(), "loops": {}},
    "lightning clip": lambda state: {"state_dict": prefixed(state, "clip."), "callbacks": {}},
    "lightning net": lambda state: {"state_dict": prefixed(state, "net.")},
    "another name": lambda state: {"step": 3, "my_encoder": state},
    "logit_bias": lambda state: {**state, "logit_bias": torch.tensor(-10.0)},
    "logit_bias (1,)": lambda state: {**state, "logit_bias": torch.tensor([-10.0])},
    "logit_scale (1,)": lambda state: {**state, "logit_scale": state["logit_scale"].reshape(1)},
    "attn_mask": lambda state: {**state, "attn_mask": torch.zeros(77, 77)},
}


@pytest.mark.parametrize("form", SAVED)
def test_what_training_scripts_save_gives_the_features_of_the_network(form, tmp_path, image):
    network = network_of(quick_gelu=True)
    path = save(SAVED[form](network.state_dict()), tmp_path / "saved.pt")
    model = load_model(f"open_clip:Tiny-quickgelu/{path}")
    assert_equal_features(model, network, image)
    assert model.info.activation["image"] == "quick_gelu"


def test_a_model_trained_with_siglips_loss_can_be_saved_and_loaded_again(tmp_path, image):
    network = network_of(quick_gelu=True, init_logit_bias=-10.0)
    model = load_model(f"open_clip:Tiny-quickgelu/{save(network.state_dict(), tmp_path / 's.pt')}")
    model.save(tmp_path / "out")
    again = load_model(str(tmp_path / "out"))
    assert_equal_features(again, network, image)
    assert again.module.logit_bias.item() == -10


def test_names_that_begin_like_a_wrapper_keep_their_letters(tmp_path):
    state = {"modules_a.weight": torch.ones(2), **network_of().state_dict()}
    assert "1 unexpected (modules_a.weight)" in refusal(f"open_clip:Tiny-quickgelu/{save(state, tmp_path / 'a.pt')}")
    state = {"module.weight": torch.ones(2), **network_of().state_dict()}
    assert "1 unexpected (module.weight)" in refusal(f"open_clip:Tiny-quickgelu/{save(state, tmp_path / 'b.pt')}")


def test_of_several_sets_of_weights_the_user_chooses(tmp_path, image):
    network, other = network_of(quick_gelu=True), network_of(quick_gelu=True)
    with torch.no_grad():
        other.visual.proj.mul_(-1)
    path = save({"model": other.state_dict(), "ema": network.state_dict()}, tmp_path / "ema.pt")
    spec = f"open_clip:Tiny-quickgelu/{path}"
    assert "weights_key=model or weights_key=ema" in refusal(spec)
    assert_equal_features(load_model(spec, model_args={"weights_key": "ema"}), network, image)
    assert "it has model, ema" in refusal(spec, model_args={"weights_key": "other"})


def test_weights_decide_the_image_size(tmp_path, image):
    network = network_of(image_size=48, quick_gelu=True)
    path = save(network.state_dict(), tmp_path / "px.pt")
    model = load_model(f"open_clip:Tiny-quickgelu/{path}")
    assert_equal_features(model, network, image, size=48)
    assert model.info.architecture == "Tiny-quickgelu, image_size=48"
    assert "the weights are for 48" in refusal(f"open_clip:Tiny-quickgelu/{path}", model_args={"image_size": 64})
    model.save(tmp_path / "out")
    assert_equal_features(load_model(str(tmp_path / "out")), network, image, size=48)


def test_weights_decide_the_context_length(tmp_path, image):
    network = network_of(context_length=20, quick_gelu=True)
    path = save(network.state_dict(), tmp_path / "short.pt")
    model = load_model(f"open_clip:Tiny-quickgelu/{path}")
    assert model.info.context_length == 20
    assert_equal_features(model, network, image, context_length=20)


def test_a_configuration_that_contradicts_its_weights_is_refused(tmp_path, image):
    network = network_of(image_size=48)
    load_model(
        f"open_clip:Tiny/{save(network.state_dict(), tmp_path / 'px.pt')}", model_args={"quick_gelu": False}
    ).save(tmp_path / "out")
    config = tmp_path / "out/open_clip_config.json"
    config.write_text(config.read_text().replace('"image_size": 48', '"image_size": 32'))
    message = refusal(tmp_path / "out")
    assert "says image_size 32, the weights are for 48" in message
    assert "image_size=48" in message
    model = load_model(str(tmp_path / "out"), model_args={"image_size": "48"})
    assert_equal_features(model, network, image, size=48)


def test_384_pixels_and_378_are_the_same_patches():
    from clipbench.models.open_clip.fitting import fit_to_weights

    config = copy.deepcopy(CONFIG)
    config["vision_cfg"] |= {"patch_size": 14, "image_size": 384}
    torch.manual_seed(0)
    state = open_clip.CLIP(**copy.deepcopy(config)).state_dict()
    assert fit_to_weights(config, state, "x", adjust=False)["vision_cfg"]["image_size"] == 384


@pytest.mark.parametrize("quick", [True, False])
def test_the_activation_is_asked_for_where_it_cannot_be_told(quick, tmp_path, image):
    network = network_of(quick_gelu=quick)
    path = save({"state_dict": prefixed(network.state_dict(), "module.")}, tmp_path / "negclip.pth")
    message = refusal(f"open_clip:Tiny/{path}")
    assert "open_clip:Tiny-quickgelu/FILE" in message
    assert "open_clip:Tiny/FILE with model_args quick_gelu=false" in message
    assert len(message) < 400 + len(str(path))
    for args in ({"quick_gelu": quick}, {"force_quick_gelu": str(quick).lower()}):
        for spec in (f"open_clip:Tiny/{path}", str(path)):
            assert_equal_features(load_model(spec, model_args=args), network, image)


def test_an_architecture_without_twin_is_not_asked_for(tmp_path):
    config = copy.deepcopy(CONFIG)
    config["vision_cfg"]["layers"] = 1
    path = save(open_clip.CLIP(**config).state_dict(), tmp_path / "lone.pt")
    assert load_model(f"open_clip:Lone/{path}").info.activation["image"] == "gelu"


def test_another_architecture_is_refused_before_it_is_built(tmp_path, monkeypatch):
    path = save(network_of().state_dict(), tmp_path / "a.pt")
    wide = {**CONFIG, "text_cfg": {**CONFIG["text_cfg"], "vocab_size": 10**12}}
    deep = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "layers": 100_000}}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Wide", wide)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Deep", deep)
    monkeypatch.setattr(open_clip, "create_model", lambda *_, **__: pytest.fail("it was built"))
    assert "token_embedding.weight: 49408 for 1000000000000" in refusal(f"open_clip:Wide/{path}")
    assert "vision_cfg says 100,000 layers" in refusal(f"open_clip:Deep/{path}")


@torch.no_grad()
def test_long_clip(tmp_path, image):
    """Long-CLIP adds the first 20 of one table of positions and the rest of another, to 248 tokens."""
    network = network_of(context_length=248, quick_gelu=True)
    first, second = torch.randn(248, 64), torch.randn(248, 64)
    state = {**network.state_dict(), "positional_embedding": first, "positional_embedding_res": second}
    keep = (torch.arange(248) < 20).float()[:, None]
    network.positional_embedding.copy_(first * keep + second * (1 - keep))
    path = save(state, tmp_path / "longclip-B.pt")
    for spec in (path, f"open_clip:Tiny/{path}"):
        model = load_model(str(spec))
        assert model.info.context_length == 248
        assert_equal_features(model, network, image, context_length=248)


def lora_state(network, rank=4):
    """As loralib names it: updates beside the weights they change; and the network with them added at alpha 8."""
    torch.manual_seed(5)
    state = dict(network.state_dict())
    for layer in ("visual.transformer.resblocks.1.mlp.c_fc", "transformer.resblocks.0.mlp.c_proj"):
        out, into = state[f"{layer}.weight"].shape
        lower, upper = torch.randn(rank, into), torch.randn(out, rank)
        with torch.no_grad():
            network.get_submodule(layer).weight.add_(upper @ lower * (8 / rank))
        state[f"{layer}.lora_A"], state[f"{layer}.lora_B"] = lower, upper
    return {name: tensor.clone() for name, tensor in state.items() if "lora" in name} | {
        name: tensor for name, tensor in state.items() if "lora" not in name
    }


def test_low_rank_updates_are_added_with_their_scale(tmp_path, image):
    original = network_of(quick_gelu=True)
    base = {name: tensor.clone() for name, tensor in original.state_dict().items()}
    state = {**lora_state(original), **base}
    path = save(state, tmp_path / "lora.pt")
    spec = f"open_clip:Tiny-quickgelu/{path}"
    assert "lora_alpha=NUMBER" in refusal(spec)
    assert_equal_features(load_model(spec, model_args={"lora_alpha": 8}), original, image)
    with_args = save({"model": state, "args": argparse.Namespace(lora_alpha=8, r=4)}, tmp_path / "args.pt")
    assert_equal_features(load_model(f"open_clip:Tiny-quickgelu/{with_args}"), original, image)
    state["transformer.resblocks.0.mlp.c_proj.lora_B"] = torch.ones(3, 4)
    odd = save(state, tmp_path / "odd.pt")
    message = refusal(f"open_clip:Tiny-quickgelu/{odd}", model_args={"lora_alpha": 8})
    assert "transformer.resblocks.0.mlp.c_proj has no weight that it fits" in message


def test_code_among_the_settings_is_refused(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    content = {"state_dict": network_of().state_dict(), "args": argparse.Namespace(hook=Harmful())}
    assert "code" in refusal(save(content, tmp_path / "bad.pt"))
    assert not (tmp_path / "ran").exists()


def test_transformers_weights_in_a_file(pair, tmp_path):
    from safetensors.torch import load_file

    path = save(load_file(pair[0] / "model.safetensors"), tmp_path / "model.pt")
    assert "transformers' names" in refusal(path)
