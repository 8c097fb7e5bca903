"""Pairs of every kind of encoder: features as computed by hand, trained, saved, loaded and scored."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, VisionTextDualEncoderModel

import clipbench
from clipbench.errors import ConfigError, ModelError
from clipbench.models import load_model, probes
from clipbench.training.freezing import freeze, training_mode, weight_decay_groups
from tests.models.builders import FAMILIES, build_clip
from tests.models.paired.encoders import IMAGES, TEXTS, build_image_encoder, build_text_encoder
from tests.training.architectures import features, step

WORDS = ["a cat", "the red bird in front of a house", "two dogs"]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    root, built = tmp_path_factory.mktemp("encoders"), {}

    def get(kind):
        if kind not in built:
            build = build_image_encoder if any(name == kind for name, _ in IMAGES) else build_text_encoder
            built[kind] = str(build(root / kind.replace(" ", "-"), kind))
        return built[kind]

    return get


def pair(vision, text, **arguments):
    given = {"vision": vision, "text": text, "projection_dim": 16, **arguments}
    return load_model("dual_encoder", model_args={k: v for k, v in given.items() if v is not None}, device="cpu")


@pytest.mark.parametrize(("kind", "pooling"), IMAGES)
@torch.no_grad()
def test_image_features_are_those_of_the_encoder_pooled_and_projected(encoder, kind, pooling):
    model = pair(encoder(kind), encoder("bert"), image_pooling=pooling)
    pictures = [probes.noise_image(*size) for size in probes.NOISE_SIZES]
    alone = AutoModel.from_pretrained(encoder(kind)).eval()
    extra = {}
    if kind == "mae":
        alone.config.mask_ratio, extra = 0.0, {"noise": torch.arange(16)[None]}
    for picture in pictures:
        pixels = model.preprocess(picture)[None]
        if not kind.startswith("timm"):
            processor = AutoImageProcessor.from_pretrained(encoder(kind), backend="pil")
            assert torch.equal(pixels, processor(picture, return_tensors="pt")["pixel_values"])
        expected = IMAGES[kind, pooling](alone(pixel_values=pixels, **extra)) @ model.module.visual_projection.weight.T
        torch.testing.assert_close(model.image_features(pixels), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(("kind", "pooling"), TEXTS)
@torch.no_grad()
def test_text_features_are_those_of_the_text_alone(encoder, tmp_path, kind, pooling, side):
    source = encoder(kind) if side == "right" else str(build_text_encoder(tmp_path / kind, kind, padding_side=side))
    model = pair(encoder("vit"), source, text_pooling=pooling)
    alone, tokenizer = AutoModel.from_pretrained(source).eval(), AutoTokenizer.from_pretrained(source)
    alone = alone.get_encoder() if kind in ("t5", "bart") else alone
    together = model.text_features(model.tokenize(WORDS))
    for text, found in zip(WORDS, together, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        expected = TEXTS[kind, pooling](alone(input_ids=ids)) @ model.module.text_projection.weight.T
        torch.testing.assert_close(found[None], expected, rtol=1e-4, atol=2e-6)


KINDS = [(kind, "bert") for kind in dict.fromkeys(kind for kind, _ in IMAGES)]
KINDS += [("vit", kind) for kind in dict.fromkeys(kind for kind, _ in TEXTS) if kind != "bert"]


@pytest.mark.parametrize(("vision", "text"), KINDS)
def test_a_pair_is_trained_saved_loaded_and_scored(encoder, tmp_path, vision, text):
    model = pair(encoder(vision), encoder(text))
    before = [tensor.detach() for tensor in features(model)]
    freeze(model)
    training_mode(model.module)
    optimizer = torch.optim.AdamW(weight_decay_groups(model, 0.1), lr=0.01)
    for _ in range(2):
        step(model, optimizer)
    model.module.eval()
    model.save(tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"), device="cpu")
    with torch.no_grad():
        for was, now, loaded in zip(before, features(model), features(again), strict=True):
            assert not torch.allclose(was, now, rtol=1e-2)
            # not bit for bit: on some CPUs a convolution rounds by where its weights lie in memory
            torch.testing.assert_close(now, loaded, rtol=1e-5, atol=1e-6)
    assert again.context_length == model.context_length
    scores = [clipbench.evaluate(which, "scenes_color", limit=6).tasks["scenes_color"] for which in (model, again)]
    assert scores[0].metrics == scores[1].metrics


@pytest.mark.parametrize(("vision", "text"), [("vit", "bert"), ("dinov2", "roberta")])
def test_the_bias_of_the_sigmoid_loss_is_saved_and_read_back(encoder, tmp_path, vision, text):
    model = pair(encoder(vision), encoder(text))
    model.add_logit_bias(0.0)
    with torch.no_grad():
        model.module.logit_bias.fill_(-3.25)  # as training does
    model.save(tmp_path / "saved")
    assert float(model.module.logit_bias.detach()) == -3.25
    again = load_model(str(tmp_path / "saved"), device="cpu")
    assert float(again.module.logit_bias.detach()) == -3.25
    assert again.fingerprint == load_model(str(tmp_path / "saved"), device="cpu").fingerprint
    again.save(tmp_path / "again")
    assert float(load_model(str(tmp_path / "again"), device="cpu").module.logit_bias.detach()) == -3.25


@pytest.mark.parametrize(
    ("vision", "text"), [("vit", "bert"), ("dinov2", "roberta"), ("clip-vision", "clip-text"), ("swin", "bert")]
)
@torch.no_grad()
def test_transformers_reads_a_pair_that_its_dual_encoder_can_hold(encoder, tmp_path, vision, text):
    model = pair(encoder(vision), encoder(text))
    model.save(tmp_path / "saved")
    network = VisionTextDualEncoderModel.from_pretrained(tmp_path / "saved").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    processor = AutoImageProcessor.from_pretrained(tmp_path / "saved", backend="pil")
    picture = probes.noise_image(60, 40)
    inputs = {**tokenizer(WORDS, padding=True, return_tensors="pt"), **processor(picture, return_tensors="pt")}
    logits = network(**inputs).logits_per_image
    image = model.image_features(model.preprocess(picture)[None])
    texts = model.text_features(model.tokenize(WORDS))
    own = model.logit_scale * torch.nn.functional.cosine_similarity(image, texts)
    torch.testing.assert_close(logits[0], own, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("change", [{"image_pooling": "mean"}, {"text_pooling": "cls"}, {"text_projection": "mlp"}])
def test_what_a_dual_encoder_cannot_hold_is_saved_in_full(encoder, tmp_path, change):
    pair(encoder("vit"), encoder("bert"), **change).save(tmp_path / "saved")
    config = json.loads((tmp_path / "saved/config.json").read_text())
    assert config["model_type"] == "clipbench-paired-encoders"
    assert {config[name] for name in change} == set(change.values())


@torch.no_grad()
def test_projections_by_hand(encoder):
    model = pair(encoder("vit"), encoder("bert"), image_projection="mlp", text_projection="linear_bias")
    plain = pair(encoder("vit"), encoder("bert"), image_projection="none", text_projection="none", projection_dim=32)
    pooled, texts = features(plain)
    first, _, second = model.module.visual_projection
    hidden = torch.nn.functional.gelu(pooled @ first.weight.T + first.bias)
    assert hidden.shape[1] == 24
    head = model.module.text_projection
    for found, expected in zip(
        features(model), (hidden @ second.weight.T + second.bias, texts @ head.weight.T + head.bias), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_without_a_trained_pooler_is_pooled_at_the_class_token(encoder, tmp_path):
    for side, kind in (("vision", "vit"), ("text", "bert")):
        folder = tmp_path / kind
        network = AutoModel.from_pretrained(encoder(kind), add_pooling_layer=False)
        network.save_pretrained(folder)
        reader = AutoImageProcessor if side == "vision" else AutoTokenizer
        reader.from_pretrained(encoder(kind)).save_pretrained(folder)
        others = {"vision": encoder("vit"), "text": encoder("bert")}
        model, again = (pair(**{**others, side: str(folder)}) for _ in range(2))
        config = model.module.config
        assert (config.image_pooling if side == "vision" else config.text_pooling) == "cls"
        assert model.fingerprint == again.fingerprint
        name = "image" if side == "vision" else "text"
        with pytest.raises(ModelError, match=f"{name} encoder: .* no weights of the pooler: set its pooling to"):
            pair(**{**others, side: str(folder)}, **{f"{name}_pooling": "pooler"})


@pytest.mark.parametrize(
    ("family", "text_pooling"),
    [("clip", "pooler"), ("siglip", "pooler"), ("siglip2-naflex", "pooler"), ("align", "cls")],
)
@torch.no_grad()
def test_towers_of_clip_like_models(family, text_pooling, tmp_path):
    source = str((build_clip if family == "clip" else FAMILIES[family])(tmp_path / family))
    whole, model = load_model(source, device="cpu"), pair(source, source)
    assert model.module.config.text_pooling == text_pooling
    texts = whole.tokenize(WORDS)
    captured = {}
    head = getattr(whole.module, "text_projection", None) or whole.module.text_model.head
    head.register_forward_pre_hook(lambda _, inputs: captured.update(pooled=inputs[0]))
    whole_features = whole.text_features(texts)
    pooled = captured["pooled"] if hasattr(whole.module, "text_projection") else whole_features
    expected = pooled @ model.module.text_projection.weight.T
    torch.testing.assert_close(model.text_features(model.tokenize(WORDS)), expected, rtol=1e-5, atol=1e-6)
    pixels = torch.stack([model.preprocess(probes.noise_image(60, 40))])
    tower = whole.image_tower_features(pixels) @ model.module.visual_projection.weight.T
    torch.testing.assert_close(model.image_features(pixels), tower, rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"), device="cpu")
    torch.testing.assert_close(again.image_features(pixels), model.image_features(pixels), rtol=1e-5, atol=1e-6)


def test_a_centered_pair_subtracts_the_mean_and_keeps_it(encoder, tmp_path):
    model = pair(encoder("vit"), encoder("bert"))
    pixels = torch.stack([model.preprocess(probes.noise_image(60, 40))])
    with torch.no_grad():
        plain, mean, projection = model.image_tower_features(pixels), torch.randn(32), model.module.visual_projection
        model.center_images(mean)
        assert torch.equal(model.image_tower_features(pixels), plain)
        assert torch.equal(model.image_features(pixels), projection(plain - mean))
        assert torch.equal(model.project_images(plain), model.image_features(pixels))
        model.save(tmp_path / "saved")
        again = load_model(str(tmp_path / "saved"), device="cpu")
        torch.testing.assert_close(again.image_features(pixels), model.image_features(pixels), rtol=1e-5, atol=1e-6)
        again.center_images(2 * mean)  # in place of the first
        torch.testing.assert_close(again.image_features(pixels), projection(plain - 2 * mean))
    assert torch.equal(load_file(tmp_path / "saved/model.safetensors")["visual_mean"], mean)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"vision": "bert"}, ModelError, "image encoder: .* is a bert model, which encodes no images"),
        ({"text": "vit"}, ModelError, "text encoder: .* is a vit model, which encodes no texts"),
        ({"image_pooling": "last"}, ConfigError, "image encoder: pooling 'last': give pooler, cls, mean"),
        ({"text_pooling": "means"}, ConfigError, r"text encoder: pooling 'means' \(did you mean mean\?\)"),
        ({"text_pooling": "pooler+mean"}, ConfigError, "text encoder: pooling 'pooler.mean'"),
        ({"text_pooling": "eos"}, ModelError, "text encoder: its tokenizer has no end token: set its pooling to last"),
        ({"vision": "resnet", "image_pooling": "cls"}, ModelError, "image encoder: it has no class token"),
        ({"text": "distilbert", "text_pooling": "pooler"}, ModelError, "text encoder: it has no pooled output"),
        ({"image_projection": "liner"}, ConfigError, r"projection 'liner' \(did you mean linear\?\)"),
        ({"text_projection": "none"}, ConfigError, "has 32 dimensions .* is 16: set projection_dim to 32"),
        ({"projection_dim": 0}, ConfigError, "projection_dim=0: give a whole number from 1"),
        ({"seed": "x"}, ConfigError, "seed=x: give a whole number"),
        ({"revision": "main"}, ConfigError, "give vision_revision or text_revision"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else None,
)  # fmt: skip
def test_errors_name_the_side(encoder, arguments, error, message):
    given = {"vision": "vit", "text": "bert", **arguments}
    given |= {side: encoder(given[side]) for side in ("vision", "text")}
    with pytest.raises(error, match=message):
        pair(**given)


@pytest.mark.parametrize(("side", "name"), [("vision", "image"), ("text", "text")])
def test_a_missing_or_damaged_folder_is_that_sides(encoder, tmp_path, side, name):
    others = {"vision": encoder("vit"), "text": encoder("bert")}
    with pytest.raises(ModelError, match=f"^{name} encoder: no such directory: /no/such/folder$"):
        pair(**{**others, side: "/no/such/folder"})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=f"^{name} encoder: .*config.json is not valid JSON"):
        pair(**{**others, side: str(tmp_path)})


def test_a_damaged_pair_is_reported(encoder, tmp_path):
    pair(encoder("vit"), encoder("bert"), text_pooling="cls").save(tmp_path / "saved")
    file = tmp_path / "saved/config.json"
    whole = json.loads(file.read_text())
    for change, message in [
        ({"text_class": "os.system"}, "has no encoder os.system"),
        ({"vision_config": {"model_type": "nothing"}}, "knows no model type 'nothing'"),
        ({"image_width": None}, "cannot load|damaged"),
        ({"text_projection": "mlp"}, "the weights do not fit"),
    ]:
        file.write_text(json.dumps({**copy.deepcopy(whole), **change}))
        with pytest.raises((ModelError, ConfigError), match=message):
            load_model(str(tmp_path / "saved"))
    file.write_text(json.dumps({key: value for key, value in whole.items() if key != "text_width"}))
    with pytest.raises(ModelError, match="configuration of paired encoders is damaged"):
        load_model(str(tmp_path / "saved"))
