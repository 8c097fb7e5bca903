"""One CLIP in both libraries' formats, and what tells checkpoints apart."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from PIL import Image
from transformers import CLIPModel

from clipbench.errors import ConfigError, ModelError
from clipbench.models import load_model
from tests.models.builders import build_open_clip, convert
from tests.models.conftest import TEXTS, assert_same_directions
from tests.seeded import build_clip


def load_aligned(directory):
    """A model of either library, with the center crop of transformers."""
    aligned = {"center_crop": "transformers"} if (directory / "open_clip_config.json").is_file() else {}
    return load_model(str(directory), model_args=aligned)


@torch.no_grad()
def logits(model, images):
    texts = torch.nn.functional.normalize(model.text_features(model.tokenize(TEXTS)), dim=1)
    pixels = torch.stack([model.preprocess(image) for image in images])
    return model.logit_scale * torch.nn.functional.normalize(model.image_features(pixels), dim=1) @ texts.T


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("size", ["tiny", "small"])
def test_both_formats_give_equal_logits(tmp_path, size, activation, image):
    images = [image, image.resize((640, 427)), image.resize((427, 640)), image.resize((50, 300))]
    build_clip(tmp_path / "hf", size, seed=3, activation=activation)
    build_clip(tmp_path / "open_clip", size, seed=3, library="open_clip", activation=activation)
    convert(str(tmp_path / "open_clip"), tmp_path / "back")
    convert(str(tmp_path / "hf"), tmp_path / "there")
    models = {name: load_aligned(tmp_path / name) for name in ("hf", "open_clip", "back", "there")}
    expected = logits(models["hf"], images)
    assert expected.std() > 0.1
    for model in models.values():
        assert (logits(model, images) - expected).abs().max() < 1e-5 * models["hf"].logit_scale
        assert model.info.activation == {"text": activation, "image": activation}
    assert models["hf"].fingerprint == models["back"].fingerprint
    assert models["open_clip"].fingerprint == models["there"].fingerprint


def test_pixels_and_tokens_are_equal_in_both_formats(pair):
    one, two = (load_aligned(directory) for directory in pair)
    for size in [(640, 480), (640, 427), (500, 375), (333, 500), (32, 39), (39, 32), (17, 90)]:
        noise = torch.randint(0, 256, (size[1], size[0], 3), generator=torch.Generator().manual_seed(1))
        photo = Image.fromarray(noise.to(torch.uint8).numpy())
        assert torch.equal(one.preprocess(photo), two.preprocess(photo)), size
    texts = [*TEXTS, "A Man's café, 12 o'clock!  (really)\n", "x" * 300, "white cat " * 60]
    left, right = one.tokenize(texts), two.tokenize(texts)
    assert left.truncated == right.truncated
    ends = left.inputs["attention_mask"].sum(dim=1)
    for row, end in enumerate(ends.tolist()):
        assert left.inputs["input_ids"][row, :end].tolist() == right.inputs["input_ids"][row, :end].tolist()


def test_photographs_and_captions_are_equal_in_both_formats(tmp_path, coco_folder):
    build_clip(tmp_path / "hf", "small")
    build_clip(tmp_path / "oc", "small", library="open_clip")
    one, two = load_aligned(tmp_path / "hf"), load_aligned(tmp_path / "oc")
    for path in sorted((coco_folder / "val2017").glob("*.jpg")):
        with Image.open(path) as opened:
            photo = opened.convert("RGB")
        assert torch.equal(one.preprocess(photo), two.preprocess(photo)), path.name
    notes = json.loads((coco_folder / "annotations/captions_val2017.json").read_text())["annotations"]
    captions = [note["caption"] for note in notes]
    left, right = one.tokenize(captions), two.tokenize(captions)
    mask = left.inputs["attention_mask"].bool()
    assert torch.equal(left.inputs["input_ids"][mask], right.inputs["input_ids"][mask])


def test_what_cannot_be_converted_is_refused(kinds, model_families, tmp_path):
    for directory in (kinds("coca"), kinds("resnet"), kinds("hf-text"), model_families("siglip")):
        with pytest.raises(ModelError, match="only a"):
            convert(str(directory), tmp_path / "out")
    with pytest.raises(ModelError, match="text features change"):  # another vocabulary
        convert(str(_with_other_tokens(model_families("clip"), tmp_path / "other")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _with_other_tokens(source, directory):
    """A copy whose tokenizer has two words' numbers exchanged (its normalizer would be rebuilt when loaded)."""
    shutil.copytree(source, directory)
    file = directory / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    vocab = content["model"]["vocab"]
    vocab["cat</w>"], vocab["photo</w>"] = vocab["photo</w>"], vocab["cat</w>"]
    file.write_text(json.dumps(content), encoding="utf-8")
    return directory


def test_an_exported_checkpoint_opens_in_both_libraries_themselves(tmp_path, image):
    import open_clip

    build_clip(tmp_path / "hf")
    convert(str(tmp_path / "hf"), tmp_path / "oc")
    network, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'oc'}")
    model = load_model(str(tmp_path / "hf"))
    pixels = model.preprocess(image)[None]
    with torch.no_grad():
        expected = CLIPModel.from_pretrained(tmp_path / "hf").eval().get_image_features(pixels).pooler_output
        assert_same_directions(network.eval().encode_image(pixels), expected)
        texts = model.text_features(model.tokenize(TEXTS))
        assert_same_directions(network.encode_text(open_clip.tokenize(TEXTS)), texts)


def test_fingerprint(pair, tmp_path):
    for directory in pair:
        one, two = load_model(str(directory)), load_model(str(directory))
        assert one.fingerprint == two.fingerprint
        one.tokenize(["short", "a longer text"])  # a fast tokenizer remembers padding; the fingerprint must not
        assert load_model(str(directory)).fingerprint == one.fingerprint
        with torch.no_grad():
            next(two.module.parameters()).add_(1e-3)
        assert one.fingerprint != two.fingerprint
    build_open_clip(tmp_path / "one", seed=1)
    build_open_clip(tmp_path / "two", seed=2)
    assert load_model(str(tmp_path / "one")).fingerprint != load_model(str(tmp_path / "two")).fingerprint
    assert load_model(str(pair[0])).fingerprint != load_model(str(pair[0]), dtype="bfloat16").fingerprint


def test_fingerprint_sees_preprocessing_activation_and_tokenizer(pair, tmp_path):
    digests = {load_model(str(pair[0])).fingerprint}
    changes = {
        "preprocessor_config.json": ('"resample": 3', '"resample": 2'),
        "config.json": ('"hidden_act": "quick_gelu"', '"hidden_act": "gelu"'),
    }
    for number, (file, (old, new)) in enumerate(changes.items(), start=1):
        directory = tmp_path / str(number)
        shutil.copytree(pair[0], directory)
        text = (directory / file).read_text(encoding="utf-8")
        assert old in text
        (directory / file).write_text(text.replace(old, new), encoding="utf-8")
        digests.add(load_model(str(directory)).fingerprint)
    digests.add(load_model(str(_with_other_tokens(pair[0], tmp_path / "tokens"))).fingerprint)
    assert len(digests) == 2 + len(changes)


def test_saving_over_a_checkpoint_of_the_other_kind(pair, tmp_path):
    directory = tmp_path / "model"
    shutil.copytree(pair[0], directory)
    (directory / "notes.txt").write_text("mine")
    model = load_model(str(pair[1]))
    model.save(directory)
    assert load_model(str(directory)).fingerprint == model.fingerprint
    assert (directory / "notes.txt").read_text() == "mine"
    assert not (directory / "model.safetensors").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_sizes_and_libraries_have_names(tmp_path):
    with pytest.raises(ConfigError, match="did you mean vit-b-32"):
        build_clip(tmp_path, "vit-b-23")
    with pytest.raises(ConfigError, match="transformers or open_clip"):
        build_clip(tmp_path, library="jax")
