"""EfficientNet-Lite0 and all-MiniLM-L6-v2 with their real weights, from ``benchmarks/real_encoders.py``."""

import os
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from clipbench.models import load_model, probes

FOLDER = os.environ.get("CLIPBENCH_TEST_ENCODERS")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="CLIPBENCH_TEST_ENCODERS names no folder that benchmarks/real_encoders.py wrote"
)
TEXTS = ["a cat sits on a mat", "a kitten is lying on the carpet", "the stock market fell sharply and banks lost money"]


@pytest.fixture(scope="module")
def model():
    folder = Path(FOLDER)
    args = {"vision": str(folder / "efficientnet_lite0"), "text": str(folder / "minilm"), "projection_dim": 384}
    return load_model("dual_encoder", model_args=args, device="cpu")


@torch.no_grad()
def test_the_image_encoder_is_timms(model):
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    network.load_state_dict(load_file(Path(FOLDER) / "efficientnet_lite0/model.safetensors"))
    transform = timm.data.create_transform(
        input_size=224, interpolation="bicubic", crop_pct=0.875, mean=(0.5,) * 3, std=(0.5,) * 3
    )
    picture = probes.noise_image(*probes.NOISE_SIZES[0])
    pixels = model.preprocess(picture)
    assert torch.equal(pixels, transform(picture))
    pooled = network.forward_features(pixels[None]).mean((2, 3))
    assert pooled.shape == (1, 1280)
    torch.testing.assert_close(model.image_tower_features(pixels[None]), pooled, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not os.environ.get("CLIPBENCH_TEST_DATA"), reason="CLIPBENCH_TEST_DATA names no COCO folder")
@torch.no_grad()
def test_it_knows_what_is_in_a_photograph(model):
    from PIL import Image

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    network.load_state_dict(load_file(Path(FOLDER) / "efficientnet_lite0/model.safetensors"))
    file = Path(os.environ["CLIPBENCH_TEST_DATA"]) / "val2017/000000000285.jpg"  # a bear's face
    if not file.is_file():
        pytest.skip(f"{file.name} is not among the photographs")
    pixels = model.preprocess(Image.open(file).convert("RGB"))
    best = network.forward_head(model.module.vision_model(pixels[None]).last_hidden_state).argmax()
    assert "bear" in timm.data.ImageNetInfo().index_to_description(int(best))


@torch.no_grad()
def test_the_text_encoder_is_sentence_transformers_mean(model):
    folder = Path(FOLDER) / "minilm"
    encoder, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    states, mask = encoder(**inputs).last_hidden_state, inputs["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    similar, different = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    assert similar > 0.5 > 0.2 > different
    assert model.context_length == 256
    expected = vectors @ model.module.text_projection.weight.T
    torch.testing.assert_close(model.text_features(model.tokenize(TEXTS)), expected, rtol=1e-4, atol=1e-6)
