"""Segmenters of transformers, with tiny models of random weights."""

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("cv2")

from clipbench.annotate.masks import box_mask
from clipbench.annotate.segmenters import find_segmenter
from clipbench.errors import ClipbenchError, ConfigError, DataError, ModelError, UnknownName

from ..seeded import build_clip
from .tiny_models import build_clipseg, build_detector, build_sam3


@pytest.fixture(scope="module")
def clipseg(tmp_path_factory):
    return build_clipseg(tmp_path_factory.mktemp("clipseg"))


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return build_detector(tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def sam3(tmp_path_factory):
    return build_sam3(tmp_path_factory.mktemp("sam3"))


def picture(size=(90, 60)):
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    pixels[10:40, 20:60] = (200, 40, 40)
    return Image.fromarray(pixels)


def probabilities(folder, image, prompt):
    """CLIPSeg's probability of every pixel, by its own classes."""
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

    inputs = CLIPSegProcessor.from_pretrained(folder)(text=[prompt], images=[image], return_tensors="pt")
    with torch.no_grad():
        logits = CLIPSegForImageSegmentation.from_pretrained(folder)(**inputs).logits.reshape(1, 1, 32, 32)
    size = (image.height, image.width)
    return torch.nn.functional.interpolate(torch.sigmoid(logits), size, mode="bilinear")[0, 0].numpy()


@pytest.mark.parametrize("prompt", ["the white cat", "dog"])
def test_clipseg(clipseg, prompt):
    image = picture()
    expected = probabilities(clipseg, image, prompt)
    threshold = float(np.median(expected))
    mask = find_segmenter(str(clipseg), device="cpu", threshold=threshold).segment(image, prompt)
    assert mask.shape == (60, 90)
    assert mask.dtype == bool
    assert ((expected >= threshold) == mask).mean() > 0.99
    assert mask.any()
    assert not mask.all()


def test_half_precision(clipseg):
    segmenter = find_segmenter(str(clipseg), device="cpu", dtype="bfloat16", threshold=0.01)
    assert segmenter.segment(picture(), "white cat").any()
    assert segmenter.details() == {
        "segmenter": str(clipseg),
        "revision": None,
        "threshold": 0.01,
        "dtype": "bfloat16",
    }


def test_nothing_is_found(clipseg, detector):
    for folder in (clipseg, detector):
        segmenter = find_segmenter(str(folder), device="cpu", threshold=0.9999)
        with pytest.raises(DataError, match=r"sees no 'a zebra' with a probability of 0\.9999: try another"):
            segmenter.segment(picture(), "a zebra")
        with pytest.raises(DataError, match="prompt is empty"):
            segmenter.segment(picture(), "  ")


def test_the_surest_box_is_refined(detector, monkeypatch):
    from transformers import Owlv2ForObjectDetection, Owlv2Processor

    image = picture((90, 90))
    processor = Owlv2Processor.from_pretrained(detector)
    inputs = processor(text=[["a cat"]], images=[image], return_tensors="pt")
    with torch.no_grad():
        outputs = Owlv2ForObjectDetection.from_pretrained(detector)(**inputs)
    found = processor.post_process_grounded_object_detection(outputs, threshold=0.0, target_sizes=[(90, 90)])[0]
    box = tuple(found["boxes"][found["scores"].argmax()].tolist())
    monkeypatch.setattr("clipbench.annotate.text_segmenters.grab_cut", lambda image, box: box_mask(image.size, box))
    mask = find_segmenter(str(detector), device="cpu", threshold=0.01).segment(image, "a cat")
    assert (mask == box_mask(image.size, box)).all()
    assert mask.any()


@pytest.mark.parametrize(("model", "most"), [("clipseg", 77), ("detector", 16), ("sam3", 32)])
def test_a_prompt_that_is_too_long(model, most, request):
    segmenter = find_segmenter(str(request.getfixturevalue(model)), device="cpu", threshold=0.01)
    with pytest.raises(DataError, match=rf"prompt has 104 tokens and .* reads {most}: name the object alone"):
        segmenter.segment(picture(), "very " * 100 + "white cat")


def test_the_surest_mask_of_sam(sam3):
    from transformers import Sam3Model, Sam3Processor

    image, processor = picture(), Sam3Processor.from_pretrained(sam3)
    inputs = processor(text=["a cat"], images=[image], return_tensors="pt")
    with torch.no_grad():
        outputs = Sam3Model.from_pretrained(sam3)(**inputs)
    scores = (outputs.pred_logits.sigmoid() * outputs.presence_logits.sigmoid())[0]
    logits = torch.nn.functional.interpolate(outputs.pred_masks[:, scores.argmax()][None], (60, 90), mode="bilinear")
    threshold = float(scores.max()) * 0.999
    mask = find_segmenter(str(sam3), device="cpu", threshold=threshold).segment(image, "a cat")
    assert ((logits[0, 0] > 0).numpy() == mask).mean() > 0.98


def test_models_that_find_nothing_by_a_text(tmp_path):
    folder = build_clip(tmp_path / "clip")
    with pytest.raises(ModelError, match="is a clip, which does not find objects by a text: choose CLIPSeg"):
        find_segmenter(str(folder)).segment(picture(), "a cat")


@pytest.mark.parametrize("how", ["missing", "nan", "pickle", "no weights"])
def test_damaged_weights(tmp_path, how):
    from safetensors.torch import load_file, save_file

    folder = build_clipseg(tmp_path / "clipseg")
    weights = folder / "model.safetensors"
    state = load_file(weights)
    name = next(name for name in state if "decoder" in name)
    if how == "missing":
        del state[name]
    else:
        state[name][:] = float("nan")
    save_file(state, weights, {"format": "pt"})
    if how == "pickle":
        torch.save(state, folder / "pytorch_model.bin")
    if how in ("pickle", "no weights"):
        weights.unlink()
    with pytest.raises(ModelError) as caught:
        find_segmenter(str(folder)).segment(picture(), "a cat")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_and_options_that_cannot_be(clipseg):
    with pytest.raises(UnknownName, match=r"did you mean scenes\?"):
        find_segmenter("scene")
    with pytest.raises(ConfigError, match="is local"):
        find_segmenter(str(clipseg), revision="main")
    with pytest.raises(ConfigError, match="between 0 and 1"):
        find_segmenter(str(clipseg), threshold=2)
    with pytest.raises(ClipbenchError, match="nobody/nothing"):
        find_segmenter("nobody/nothing").segment(picture(), "a cat")
