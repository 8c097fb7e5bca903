"""Models in memory against the same checkpoint on disk."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor, CLIPProcessor

import clipbench
from clipbench.errors import ConfigError, ModelError
from clipbench.inference.embedding_cache.feature_key import feature_key_of
from clipbench.models import load_model
from clipbench.training.options import FinetuneOptions
from tests.models.conftest import TEXTS, assert_same_directions


@pytest.fixture
def transformers_pair(pair):
    directory = pair[0]
    parts = load_model(str(directory))
    return AutoModel.from_pretrained(directory), CLIPProcessor(parts.image_processor, parts.tokenizer)


@pytest.fixture
def open_clip_triple(pair):
    source = f"local-dir:{pair[1]}"
    network, _, preprocess = open_clip.create_model_and_transforms(source)
    return network, preprocess, open_clip.get_tokenizer(source)


class Encoders:
    """A plain object with two encoders, which return what ``kind`` says."""

    def __init__(self, directory, kind=lambda features: features.numpy()):
        self._model, self.kind = load_model(str(directory)), kind
        self.batches = []

    @torch.no_grad()
    def encode_image(self, images):
        assert all(isinstance(image, Image.Image) and image.mode == "RGB" for image in images)
        self.batches.append(len(images))
        return self.kind(self._model.image_features(torch.stack([self._model.preprocess(image) for image in images])))

    @torch.no_grad()
    def encode_text(self, texts):
        assert all(type(text) is str for text in texts)
        self.batches.append(len(texts))
        return self.kind(self._model.text_features(self._model.tokenize(texts)))


class WithWeights(Encoders):
    def __init__(self, directory):
        super().__init__(directory)
        self.network = self._model.module


def assert_equal_models(one, other, image, *, exactly=True):
    texts = [model.text_features(model.tokenize(TEXTS)) for model in (one, other)]
    images = [model.image_features(model.collate([model.preprocess(image)] * 2)) for model in (one, other)]
    for left, right in (texts, images):
        assert torch.equal(left, right) if exactly else assert_same_directions(left, right) is None


@torch.no_grad()
def test_a_transformers_pair_is_the_checkpoint(transformers_pair, pair, image):
    model, disk = load_model(transformers_pair), load_model(str(pair[0]))
    assert model.id == "in-memory:CLIPModel"
    assert_equal_models(model, disk, image)
    assert model.fingerprint == disk.fingerprint
    assert model.info == disk.info


def test_a_processor_on_torchvision_is_replaced_by_its_pil_twin(transformers_pair, pair, image):
    network, processor = transformers_pair
    processor.save_pretrained(pair[0].parent / "processor")
    fast = AutoProcessor.from_pretrained(pair[0].parent / "processor", backend="torchvision")
    assert not type(fast.image_processor).__name__.endswith("Pil")
    model = load_model((network, fast))
    assert model.info.preprocessor == "CLIPImageProcessorPil"
    assert torch.equal(model.preprocess(image), load_model(str(pair[0])).preprocess(image))


@torch.no_grad()
def test_an_open_clip_triple_is_the_checkpoint(open_clip_triple, pair, image, tmp_path):
    model, disk = load_model(open_clip_triple), load_model(str(pair[1]))
    assert model.id == "in-memory:CLIP"
    assert_equal_models(model, disk, image)
    assert model.info == disk.info
    model.save(tmp_path / "saved")
    assert_equal_models(load_model(str(tmp_path / "saved")), disk, image)


@pytest.mark.parametrize("kind", ["resnet", "custom-text", "siglip", "coca", "timm"])
@torch.no_grad()
def test_other_open_clip_networks(kinds, kind, image, tmp_path):
    source = f"local-dir:{kinds(kind)}"
    network, _, preprocess = open_clip.create_model_and_transforms(source, pretrained_text=False)
    model, disk = load_model((network, preprocess, open_clip.get_tokenizer(source))), load_model(str(kinds(kind)))
    assert_equal_models(model, disk, image)
    assert model.info.text_batching == disk.info.text_batching
    if kind == "resnet":  # a plain CLIP, with an architecture that its weights tell
        model.save(tmp_path / "saved")
        assert_equal_models(load_model(str(tmp_path / "saved")), disk, image)
    else:
        with pytest.raises(ModelError, match="cannot be saved to .*load it by name"):
            model.save(tmp_path / "saved")


def test_a_preprocess_of_ones_own_is_used_and_not_saved(open_clip_triple, image, tmp_path):
    network, preprocess, tokenizer = open_clip_triple
    model = load_model((network, lambda photo: preprocess(photo).flip(-1), tokenizer))
    assert torch.equal(model.preprocess(image), preprocess(image).flip(-1))
    assert model.fingerprint != load_model(open_clip_triple).fingerprint
    with pytest.raises(ModelError, match="preprocess"):
        model.save(tmp_path / "saved")


KINDS = {
    "arrays": lambda features: features.numpy(),
    "tensors": lambda features: features,
    "lists": lambda features: features.tolist(),
    "lists of arrays": lambda features: list(features.numpy()),
    "lists of tensors": lambda features: list(features),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("library", [0, 1])
@torch.no_grad()
def test_any_object_with_encoders(pair, library, kind, image):
    model, disk = load_model(Encoders(pair[library], KINDS[kind])), load_model(str(pair[library]))
    assert model.id == "in-memory:Encoders"
    assert_equal_models(model, disk, image, exactly=False)
    texts = [*TEXTS, "", "Größe ☕ 😀\x00 end", "\ud800"]
    tokens = model.tokenize(texts)
    assert_same_directions(model.text_features(tokens.part([5, 0])), disk.text_features(disk.tokenize([texts[5], "a"])))


def test_images_of_different_sizes_arrive_as_they_are():
    seen = []

    class Watching:
        def encode_image(self, images):
            seen.extend(images)
            return np.ones((len(images), 4))

        def encode_text(self, texts):
            seen.extend(texts)
            return np.ones((len(texts), 4))

    model = load_model(Watching())
    seen.clear()
    photos = [Image.effect_noise(size, 80).convert("RGB") for size in ((3, 9), (20, 4), (1, 1))]
    model.image_features(model.collate([model.preprocess(photo) for photo in photos]))
    assert [photo.tobytes() for photo in seen] == [photo.tobytes() for photo in photos]
    assert [photo.size for photo in seen] == [photo.size for photo in photos]
    seen.clear()
    texts = ["", "a\x00b", "\ud800 ☕", " spaces  "]
    model.text_features(model.tokenize(texts))
    assert seen == texts


def test_an_encoder_that_depends_on_its_batch_gets_one_item_at_a_time(pair):
    class Padded(Encoders):
        def encode_text(self, texts):
            return super().encode_text(texts) + np.arange(32) * max(map(len, texts))

    encoders = Padded(pair[0])
    model = load_model(encoders)
    encoders.batches.clear()
    model.text_features(model.tokenize(TEXTS))
    assert encoders.batches == [1] * len(TEXTS)
    model.image_features(torch.zeros(3, 3, 8, 8, dtype=torch.uint8))
    assert encoders.batches[len(TEXTS) :] == [3]


def test_weights_vouch_for_an_object(pair):
    model, again = load_model(WithWeights(pair[0])), load_model(WithWeights(pair[0]))
    assert model.fingerprint == again.fingerprint
    assert feature_key_of(model).key == feature_key_of(again).key
    with torch.no_grad():
        next(again.module.parameters()).add_(1e-3)
    assert model.fingerprint != again.fingerprint
    nothing = load_model(Encoders(pair[0]))
    assert nothing.fingerprint == ""
    with pytest.raises(ModelError, match="no fingerprint that identifies"):
        feature_key_of(nothing)


@pytest.mark.parametrize("which", ["transformers", "open_clip", "encoders"])
def test_scores_in_memory_are_those_of_the_checkpoint(which, pair, transformers_pair, open_clip_triple):
    directory = pair[1] if which == "open_clip" else pair[0]
    model = {"transformers": transformers_pair, "open_clip": open_clip_triple, "encoders": Encoders(directory)}[which]
    options = {"tasks": ["scenes_color", "scenes_retrieval"], "limit": 24}
    found, expected = clipbench.evaluate(model, **options), clipbench.evaluate(str(directory), **options)
    assert found.model_name.startswith("in-memory:")
    metrics = [{name: task.metrics for name, task in run.tasks.items()} for run in (found, expected)]
    assert metrics[0] == metrics[1]
    assert not found.failed


def test_fine_tuning_what_is_in_memory(open_clip_triple, transformers_pair, pair, tmp_path):
    options = FinetuneOptions(image_cache=tmp_path / "cache", device="cpu")
    recipe = {"max_steps": 2, "batch_size": 4, "negatives": 1}
    for name, model, directory in (("oc", open_clip_triple, pair[1]), ("hf", transformers_pair, pair[0])):
        for place, source in (("memory", model), ("disk", str(directory))):
            folder = tmp_path / name / place
            clipbench.finetune(source, "scenes=24", "color", folder, options=options, **recipe)
        trained = [load_model(str(tmp_path / name / place)) for place in ("memory", "disk")]
        assert trained[0].fingerprint == trained[1].fingerprint != load_model(str(directory)).fingerprint
    with pytest.raises(ModelError, match="cannot be fine-tuned: encode_image and encode_text"):
        clipbench.finetune(Encoders(pair[0]), "scenes=24", "color", tmp_path / "no", options=options, **recipe)


class Broken:
    def __init__(self, image=lambda images: np.ones((len(images), 4)), text=lambda texts: np.ones((len(texts), 4))):
        self.encode_image, self.encode_text = image, text


@pytest.mark.parametrize(
    ("encoders", "words"),
    [
        (Broken(image=lambda images: 1 / 0), "encode_image failed on a list of PIL images: ZeroDivisionError"),
        (Broken(text=lambda texts: np.ones(4)), r"encode_text returned shape \(4,\) for 3 items"),
        (Broken(text=lambda texts: np.ones((2, 4))), r"encode_text returned shape \(2, 4\) for 3 items"),
        (Broken(text=lambda texts: None), "encode_text must return one vector per item"),
        (Broken(text=lambda texts: np.ones((len(texts), 5))), "do not live in one space"),
        (Broken(text=lambda texts: np.full((len(texts), 4), np.nan)), "not finite"),
    ],
)
def test_encoders_that_cannot_be_used(encoders, words):
    with pytest.raises(ModelError, match=words) as caught:
        load_model(encoders)
    assert "\n" not in str(caught.value)


def test_what_is_no_model_is_told_what_may_be_one(transformers_pair, open_clip_triple):
    network, processor = transformers_pair
    tower, preprocess, tokenizer = open_clip_triple
    cases = {
        "pass (model, processor)": network,
        "pass (model, preprocess, tokenizer)": tower,
        "a model cannot be (CLIP, Compose)": (tower, preprocess),
        "a model cannot be (CLIPProcessor, CLIPModel)": (processor, network),
        "no processor with a tokenizer": (network, processor.tokenizer),
        "no tokenizer of open_clip": (tower, preprocess, preprocess),
        "a NoneType does not turn a PIL image": (tower, None, tokenizer),
        "must give one image one tensor": (tower, lambda photo: torch.rand(3, 32, 32), tokenizer),
        "encode_image(list of PIL images)": object(),
        "cannot be of type int": 3,
        "of type NoneType": None,
    }
    for words, wrong in cases.items():
        with pytest.raises(ConfigError) as caught:
            load_model(wrong)
        assert words in str(caught.value), words
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="in float32, not in bfloat16"):
        load_model(transformers_pair, dtype="bfloat16")
    with pytest.raises(ConfigError, match="pretrained are for checkpoints"):
        load_model(transformers_pair, model_args={"pretrained": "x"})


@pytest.mark.parametrize("wrong", [3, None, {}, object(), np.ones(3)])
def test_what_is_no_model_is_a_type_error_before_data_is_read(wrong):
    with pytest.raises(TypeError, match=f"cannot be of type {type(wrong).__name__}: pass the name or path of a model"):
        clipbench.evaluate(wrong, "scenes_color", data={"scenes": "nowhere"})


def test_weights_that_are_not_finite_are_refused(transformers_pair, open_clip_triple):
    for model in (transformers_pair, open_clip_triple):
        with torch.no_grad():
            model[0].logit_scale.fill_(float("nan"))
        with pytest.raises(ModelError, match="in-memory:CLIP.*logit_scale is NaN or infinite in 1 of 1"):
            load_model(model)
