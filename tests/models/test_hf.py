"""transformers models against plain transformers calls with full padding."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from clipbench.models import load_model
from tests.models.builders import FAMILIES
from tests.models.conftest import TEXTS, assert_same_directions

PADDED = ("siglip", "siglip2-naflex")
PACKED = ("clip", "clip-legacy", "metaclip2")


@pytest.fixture(scope="module", params=FAMILIES)
def model_family(request, model_families):
    return request.param, model_families(request.param)


def reference_text(directory, name):
    network, tokenizer = AutoModel.from_pretrained(directory), AutoTokenizer.from_pretrained(directory)
    length = tokenizer.model_max_length
    inputs = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    if name in PADDED:
        inputs.pop("attention_mask", None)
    inputs.pop("token_type_ids", None)
    with torch.no_grad():
        return network.eval().get_text_features(**inputs).pooler_output


@torch.no_grad()
def test_text_features_are_those_of_plain_transformers_with_full_padding(model_family):
    name, directory = model_family
    model = load_model(str(directory))
    features = model.text_features(model.tokenize(TEXTS))
    assert features.shape == (len(TEXTS), model.info.feature_dim)
    assert_same_directions(features, reference_text(directory, name))
    path = "padded" if name in PADDED else "packed" if name in PACKED else "trimmed"
    assert model.info.text_batching == path


@torch.no_grad()
def test_image_features_are_those_of_plain_transformers(model_family, image):
    _, directory = model_family
    model = load_model(str(directory))
    processor = AutoImageProcessor.from_pretrained(directory, backend="pil")
    expected = AutoModel.from_pretrained(directory).eval().get_image_features(**processor(image, return_tensors="pt"))
    features = model.image_features(model.preprocess(image)[None])
    assert_same_directions(features, expected.pooler_output)
    assert model.info.preprocessor.endswith("Pil")


@torch.no_grad()
def test_features_do_not_depend_on_the_batch(model_family, image):
    _, directory = model_family
    model = load_model(str(directory))
    together = model.text_features(model.tokenize(TEXTS))
    singly = torch.cat([model.text_features(model.tokenize([text])) for text in TEXTS])
    assert_same_directions(singly, together)
    pixels = torch.stack([model.preprocess(image), model.preprocess(image.rotate(180)), model.preprocess(image)])
    both = model.image_features(pixels)
    assert_same_directions(model.image_features(pixels[:1]), both[:1])
    assert not torch.allclose(both[0], both[1], atol=1e-6)


def test_long_texts_are_cut_and_flagged(model_family):
    _, directory = model_family
    model = load_model(str(directory))
    tokens = model.tokenize(["cat " * 200, "cat"])
    assert tokens.truncated == (True, False)
    assert tokens.inputs["input_ids"].shape[1] == model.info.context_length
    assert torch.isfinite(model.text_features(tokens)).all()


def test_a_text_that_just_fits_is_not_flagged(model_families):
    model = load_model(str(model_families("clip")))
    tokens = model.tokenize(["cat " * 75, "cat " * 76])
    assert tokens.truncated == (False, True)
    assert tokens.inputs["input_ids"][:, -1].tolist() == [49407, 49407]


@torch.no_grad()
def test_saved_checkpoint_gives_equal_features(model_family, tmp_path, image):
    _, directory = model_family
    model = load_model(str(directory))
    model.save(tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"))
    assert torch.equal(again.text_features(again.tokenize(TEXTS)), model.text_features(model.tokenize(TEXTS)))
    pixels = model.preprocess(image)
    assert torch.equal(again.preprocess(image), pixels)
    assert torch.equal(again.image_features(pixels[None]), model.image_features(pixels[None]))
    assert again.info.activation == model.info.activation


def test_features_can_be_trained(model_families, image):
    model = load_model(str(model_families("clip")))
    assert not model.module.training
    texts = model.text_features(model.tokenize(TEXTS))
    images = model.image_features(model.preprocess(image)[None])
    (model.logit_scale * (images @ texts.T).sum()).backward()
    without = [name for name, parameter in model.module.named_parameters() if parameter.grad is None]
    assert without == []
    assert not torch.allclose(texts.norm(dim=1), torch.ones(len(TEXTS)))


def test_align_scales_by_its_temperature(model_families):
    model = load_model(str(model_families("align")))
    with torch.no_grad():
        model.module.temperature.fill_(0.25)
    assert model.logit_scale.item() == 4


@pytest.mark.parametrize("dtype", ["bfloat16", "fp16"])
@torch.no_grad()
def test_half_precision(model_families, dtype, image):
    model, exact = load_model(str(model_families("clip")), dtype=dtype), load_model(str(model_families("clip")))
    features = model.text_features(model.tokenize(TEXTS))
    assert features.dtype == model.dtype != torch.float32
    similarity = torch.cosine_similarity(features.float(), exact.text_features(exact.tokenize(TEXTS)))
    assert (similarity > 0.999).all()
    assert torch.isfinite(model.image_features(model.preprocess(image)[None])).all()


def test_pairing_two_encoders_is_repeatable(tmp_path, image):
    from tests.models.builders import build_bert, build_vit

    args = {"vision": str(build_vit(tmp_path / "vit")), "text": str(build_bert(tmp_path / "bert"))}
    one, two = (load_model("dual_encoder", model_args=args) for _ in range(2))
    assert one.fingerprint == two.fingerprint
    assert one.image_features(one.preprocess(image)[None]).shape == (1, 512)
    assert one.text_features(one.tokenize(TEXTS)).shape == (len(TEXTS), 512)
    one.save(tmp_path / "saved")
    again = load_model(f"dual_encoder:{tmp_path / 'saved'}")
    assert torch.equal(again.text_features(again.tokenize(TEXTS)), one.text_features(one.tokenize(TEXTS)))
