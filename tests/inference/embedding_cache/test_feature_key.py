import dataclasses

import pytest
import torch

from clipbench.inference.embedding_cache import open_cache
from clipbench.inference.embedding_cache.feature_key import feature_key_of
from clipbench.models import load_model
from clipbench.models.hf import TransformersModel
from tests.inference.embedding_cache.models import Vouched
from tests.seeded import build_clip, seeded_clip


@pytest.fixture(scope="module")
def model():
    return seeded_clip("tiny")


@pytest.fixture(scope="module")
def key(model):
    return feature_key_of(model).key


def test_equal_models_share_a_space_whatever_they_are_called(model, key):
    again = seeded_clip("tiny")
    again.id = "another name"
    assert feature_key_of(again).key == key


def test_one_weight_makes_another_space(key):
    other = seeded_clip("tiny")
    with torch.no_grad():
        other.module.visual_projection.weight[0, 0] += 1e-7
    assert feature_key_of(other).key != key


def test_training_on_makes_another_space(model):
    trained = seeded_clip("tiny")
    before = feature_key_of(trained).key
    with torch.no_grad():
        trained.module.logit_scale.add_(0.5)
    assert feature_key_of(trained).key != before


def test_another_tokenizer_makes_another_space(model, key):
    other = seeded_clip("tiny")
    other.tokenizer.add_tokens(["zebra</w>"])
    assert feature_key_of(TransformersModel(other.module, other.tokenizer, other.image_processor, id="x")).key != key


def test_another_preprocessor_makes_another_space(model, key):
    other = seeded_clip("tiny")
    other.image_processor.resample = 0
    assert feature_key_of(other).key != key


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_another_precision_makes_another_space(tmp_path, key, dtype):
    build_clip(tmp_path / "m")
    found = feature_key_of(load_model(str(tmp_path / "m"), dtype=dtype))
    assert found.key != key
    assert found.precision == dtype


def test_another_crop_of_open_clip_makes_another_space(tmp_path):
    build_clip(tmp_path / "m", library="open_clip")
    models = [load_model(tmp_path / "m", model_args={"center_crop": crop}) for crop in ("open_clip", "transformers")]
    assert len({feature_key_of(model).key for model in models}) == 2


def test_another_scoring_version_makes_another_space(model, key, monkeypatch):
    monkeypatch.setattr("clipbench.inference.embedding_cache.feature_key.SCORING_VERSION", 99)
    assert feature_key_of(model).key != key


@pytest.mark.parametrize("name", ["torch.__version__", "PIL.__version__"])
def test_another_library_makes_another_space(model, key, monkeypatch, name):
    monkeypatch.setattr(name, "99")
    assert feature_key_of(model).key != key


def test_a_plugin_that_names_instead_of_digesting_is_still_told_apart_by_its_weights():
    """A digest of the model's name looks like any other."""
    one, other = Vouched(1.0, fingerprint="ab" * 32), Vouched(2.0, fingerprint="ab" * 32)
    assert feature_key_of(one).key != feature_key_of(other).key
    assert feature_key_of(one).key == feature_key_of(Vouched(1.0, fingerprint="ab" * 32)).key


def test_a_plugin_whose_preprocessing_differs_is_told_apart():
    class Darker(Vouched):
        def preprocess(self, image):
            return super().preprocess(image) / 2

    assert feature_key_of(Darker()).key != feature_key_of(Vouched()).key


class Opaque(Vouched):
    module = torch.nn.Identity()


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (Vouched(fingerprint=""), "no fingerprint that identifies its weights"),
        (Vouched(fingerprint="my-model-v2"), "is no digest"),
        (Opaque(fingerprint="ab" * 32), "shows no weights"),
    ],
)
def test_a_model_that_nothing_vouches_for_is_not_cached_and_that_is_said(tmp_path, plugin, reason):
    notes = []
    assert open_cache(plugin, tmp_path, notes.append) is None
    assert reason in notes[0]
    assert "embeddings are not cached" in notes[0]
    assert list(tmp_path.iterdir()) == []


def test_a_space_says_whose_it_is(model):
    assert dataclasses.asdict(feature_key_of(model)) | {"key": ""} == {
        "key": "", "model": model.id, "precision": "float32", "device": "cpu",
    }  # fmt: skip
