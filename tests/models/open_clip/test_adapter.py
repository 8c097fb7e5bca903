"""open_clip models against open_clip's own calls with full padding."""

from __future__ import annotations

import json

import open_clip
import pytest
import torch

from clipbench.errors import ConfigError, ModelError, UnknownName
from clipbench.models import load_model
from tests.models.builders import OPEN_CLIP_KINDS, build_clip, build_open_clip
from tests.models.conftest import TEXTS, assert_same_directions

PACKED = ("clip", "resnet", "custom-text", "timm")


@pytest.fixture(scope="module", params=OPEN_CLIP_KINDS)
def kind(request, kinds):
    return request.param, kinds(request.param)


@torch.no_grad()
def test_features_are_those_of_plain_open_clip(kind, image):
    name, directory = kind
    network, _, transform = open_clip.create_model_and_transforms(f"local-dir:{directory}", pretrained_text=False)
    if name == "hf-text":  # there is no tokenizer in the directory itself, where open_clip would look
        tokenizer = open_clip.tokenizer.HFTokenizer(str(directory / "text"), context_length=40)
    else:
        tokenizer = open_clip.get_tokenizer(f"local-dir:{directory}")
    network.eval()
    model = load_model(str(directory))
    texts = model.text_features(model.tokenize(TEXTS))
    assert_same_directions(texts, network.encode_text(tokenizer(TEXTS), normalize=False))
    assert torch.equal(model.preprocess(image), transform(image))
    pixels = transform(image)[None]
    expected = network.encode_image(pixels, normalize=False)
    assert_same_directions(model.image_features(pixels), expected)
    assert model.info.text_batching == ("packed" if name in PACKED else "padded")


@torch.no_grad()
def test_features_do_not_depend_on_the_batch(kind):
    _, directory = kind
    model = load_model(str(directory))
    together = model.text_features(model.tokenize(TEXTS))
    singly = torch.cat([model.text_features(model.tokenize([text])) for text in TEXTS])
    assert_same_directions(singly, together)


def test_long_texts_are_cut_and_flagged(kind):
    _, directory = kind
    model = load_model(str(directory))
    tokens = model.tokenize(["cat " * 200, "cat"])
    assert tokens.truncated == (True, False)
    assert torch.isfinite(model.text_features(tokens)).all()


@torch.no_grad()
def test_saved_checkpoint_gives_equal_features(kind, tmp_path, image):
    _, directory = kind
    model = load_model(str(directory))
    model.save(tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"))
    assert torch.equal(again.text_features(again.tokenize(TEXTS)), model.text_features(model.tokenize(TEXTS)))
    pixels = model.preprocess(image)
    assert torch.equal(again.preprocess(image), pixels)
    assert torch.equal(again.image_features(pixels[None]), model.image_features(pixels[None]))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@torch.no_grad()
def test_half_precision(kind, dtype, image):
    _, directory = kind
    model, exact = load_model(str(directory), dtype=dtype), load_model(str(directory))
    features = model.text_features(model.tokenize(TEXTS)).float()
    assert (torch.cosine_similarity(features, exact.text_features(exact.tokenize(TEXTS))) > 0.998).all()
    assert torch.isfinite(model.image_features(model.preprocess(image)[None])).all()


def test_features_can_be_trained(pair, image):
    model = load_model(str(pair[1]))
    texts = model.text_features(model.tokenize(TEXTS))
    (model.logit_scale * (model.image_features(model.preprocess(image)[None]) @ texts.T).sum()).backward()
    assert [name for name, parameter in model.module.named_parameters() if parameter.grad is None] == []


def test_quick_gelu_is_kept(tmp_path):
    build_open_clip(tmp_path / "quick", quick_gelu=True)
    model = load_model(str(tmp_path / "quick"))
    model.save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved/open_clip_config.json").read_text())["model_cfg"]["quick_gelu"] is True
    assert load_model(str(tmp_path / "saved")).info.activation == {"text": "quick_gelu", "image": "quick_gelu"}
    forced = load_model(str(tmp_path / "quick"), model_args={"force_quick_gelu": "false"})
    assert forced.info.activation["text"] == "gelu"
    difference = forced.text_features(forced.tokenize(TEXTS)) - model.text_features(model.tokenize(TEXTS))
    assert difference.abs().max() > 1e-4
    assert forced.fingerprint != model.fingerprint


@pytest.fixture
def named(tmp_path, monkeypatch):
    """An architecture ``Tiny`` with a tag ``quick`` trained with QuickGELU, as ``openai`` is for ``ViT-B-32``."""
    directory = build_open_clip(tmp_path / "tiny")
    config = json.loads((directory / "open_clip_config.json").read_text())["model_cfg"]
    weights = str(directory / "open_clip_model.safetensors")
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Tiny", config)
    tags = {"quick": {"file": weights, "quick_gelu": True}, "plain": {"file": weights}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "Tiny", tags)
    return weights


def test_a_tag_decides_the_activation(named):
    quick, plain = load_model("open_clip:Tiny/quick"), load_model("open_clip:Tiny/plain")
    assert quick.info.activation["image"] == "quick_gelu"
    assert plain.info.activation["image"] == "gelu"
    assert quick.module.visual.transformer.resblocks[0].mlp.gelu.__class__.__name__ == "QuickGELU"
    assert quick.info.architecture == "Tiny"


@pytest.mark.parametrize(
    ("spec", "args"),
    [
        ("open_clip:Tiny/{file}", {}),
        ("open_clip:Tiny", {"pretrained": "{file}"}),
        ("open_clip:Tiny", {"pretrained": "plain"}),
        ("open_clip", {"model_name": "Tiny", "pretrained": "plain"}),
        ("open_clip", {"pretrained": "Tiny/plain"}),
        ("{file}", {"model_name": "Tiny"}),
        ("{file}", {}),
    ],
)
def test_ways_to_write_one_model(named, spec, args):
    if not args and spec == "{file}":  # fits Tiny alone, so it can be told
        assert load_model(named).info.architecture != ""
    args = {key: value.format(file=named) for key, value in args.items()}
    model = load_model(spec.format(file=named), model_args=args)
    expected = load_model("open_clip:Tiny/plain")
    assert model.fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("open_clip:ViT-B-23/openai", ["ViT-B-32"]),
        ("open_clip:ViT-B-32/laion2b_s34b_b97k", ["laion2b_s34b_b79k"]),
        ("open_clip:ViT-B-32/nowhere.pt", ["no such file"]),
        ("open_clip:someone/something", ["open_clip:hf-hub:someone/something"]),
        ("open_clip:ViT-B-32", ["no weights", "laion2b_s34b_b79k"]),
        ("open_clip", ["pretrained="]),
        ("open_clop:ViT-B-32/openai", ["open_clip"]),
    ],
)
def test_unknown_names_are_answered_with_neighbours(spec, words):
    with pytest.raises((UnknownName, ModelError, ConfigError)) as caught:
        load_model(spec)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_a_file_that_fits_several_architectures_is_not_guessed(tmp_path, monkeypatch):
    directory = build_open_clip(tmp_path / "tiny")
    config = json.loads((directory / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Tiny", config)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Tiny-quickgelu", {**config, "quick_gelu": True})
    with pytest.raises(ModelError, match="fits Tiny, Tiny-quickgelu.*model_name=ARCH"):
        load_model(str(directory / "open_clip_model.safetensors"))


def test_crop_argument(tmp_path, image):
    directory = build_clip(tmp_path / "tiny", library="open_clip")
    own, aligned = load_model(str(directory)), load_model(str(directory), model_args={"center_crop": "transformers"})
    odd = image.resize((39, 32))  # a margin of 7: torchvision starts at 4, transformers at 3
    assert not torch.equal(own.preprocess(odd), aligned.preprocess(odd))
    _, _, transform = open_clip.create_model_and_transforms(f"local-dir:{directory}")
    assert torch.equal(own.preprocess(odd), transform(odd))
    assert own.fingerprint != aligned.fingerprint
    with pytest.raises(ConfigError, match="open_clip"):
        load_model(str(directory), model_args={"center_crop": "left"})


def test_crop_by_its_short_name(tmp_path, image):
    directory, odd = str(build_clip(tmp_path / "tiny", library="open_clip")), image.resize((39, 32))
    own, native = load_model(directory), load_model(directory, model_args={"crop": "native"})
    assert native.fingerprint == own.fingerprint
    long, short = (load_model(directory, model_args={name: "transformers"}) for name in ("center_crop", "crop"))
    assert torch.equal(long.preprocess(odd), short.preprocess(odd))
    assert long.fingerprint == short.fingerprint != own.fingerprint
    with pytest.raises(ConfigError, match="are one argument"):
        load_model(directory, model_args={"crop": "native", "center_crop": "transformers"})
