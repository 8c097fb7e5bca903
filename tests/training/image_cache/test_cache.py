"""The pixel cache: equal to the live pipeline, built once, and sound after whatever happened to it."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipbench.errors import DataError
from clipbench.models import load_model
from clipbench.training.image_cache.build import build_image_cache
from tests.models.builders import FAMILIES, build_open_clip
from tests.training.plain_model import CHUNK, COUNT, build, everything, noise, plain_model, references, same_bits

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished cache of COUNT images: its parent folder, and what it holds."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, everything(build(folder))


def files(folder):
    return {file.name: file.read_bytes() for file in folder.glob("*.pixels")}


def live(model, refs):
    return torch.stack([model.preprocess(ref.open()).float() for ref in refs])


MODELS = {
    "demo": lambda directory: "demo",
    "open_clip": build_open_clip,
    "open_clip-siglip": lambda directory: build_open_clip(directory, "siglip"),
    **{name: FAMILIES[name] for name in ("clip", "siglip", "align", "chinese-clip", "dual-encoder", "siglip2-naflex")},
}


@pytest.mark.parametrize("name", MODELS)
def test_batches_are_what_preprocessing_gives_to_the_bit(name, tmp_path):
    model = load_model(str(MODELS[name](tmp_path / "model")), device="cpu", dtype="float32")
    sizes = [(97, 61), (31, 33), (32, 32), (7, 50), (224, 225), (640, 427)]
    dice = np.random.default_rng(1)
    images = [Image.fromarray(dice.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]
    refs = references(len(images), picture=images.__getitem__)
    notes = []
    cache = build(tmp_path, model=model, refs=refs, notes=notes)
    order = np.array([5, 0, 3, 3, 1, 4, 2])
    assert same_bits(cache.batch(order), live(model, [refs[index] for index in order]))
    if name == "siglip2-naflex":  # packed patches are no image
        assert cache.lookup is None
        assert "float32" in notes[0]
    else:
        assert cache.codes(order).dtype == torch.uint8
        assert notes == []


def test_models_that_preprocess_alike_share_a_cache(tmp_path):
    one, other = plain_model(), plain_model(curve=lambda values: values * np.float32(1))
    opened = []
    for model in (one, other):
        build(tmp_path, opened, model=model, count=3)
    assert len(files(tmp_path)) == 1
    assert len(opened) == 3


def test_an_image_off_the_table_makes_all_of_them_floats(tmp_path):
    """Preprocessing that looks like a table on every probe, and is none for one image in the second chunk."""

    def curve(values):
        return values * np.float32(0.5) if values[0, 0, 0] == values[0, 0, 1] == 0 and values.max() == 1 else values

    def picture(number):
        image = noise(number)
        return Image.fromarray(np.eye(8, dtype=np.uint8)[::-1, :, None].repeat(3, 2) * 255) if number == 300 else image

    model, notes, opened = plain_model(curve=curve), [], []
    refs = references(COUNT, opened, picture)
    cache = build(tmp_path, model=model, refs=refs, notes=notes)
    assert cache.lookup is None
    assert notes == ["plain: an image has values off the 256 levels per channel: stored as float32"]
    assert same_bits(everything(cache), live(model, refs))
    opened.clear()
    again = build(tmp_path, model=model, refs=refs)
    assert opened == []
    assert same_bits(everything(again), live(model, refs))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gets_the_same_bits(finished):
    cache = build(finished[0])
    for start in range(0, COUNT, 50):  # page-locked memory is used again
        indices = np.arange(start, min(start + 50, COUNT))
        assert same_bits(cache.batch(indices, "cuda").cpu(), finished[1][indices])


def test_an_index_outside_is_an_error(finished):
    cache = build(finished[0])
    for index in (-1, COUNT):
        with pytest.raises(IndexError, match=str(index)):
            cache.batch(np.array([0, index]))


# Built once, whatever the order


def test_a_finished_cache_decodes_nothing(finished):
    opened, notes, seen = [], [], []
    cache = build(finished[0], opened, notes, on_progress=lambda done, total: seen.append((done, total)))
    assert (opened, notes) == ([], [])
    assert seen[-1] == (COUNT, COUNT)
    assert same_bits(everything(cache), finished[1])


def test_workers_and_their_pace_change_no_byte(finished, tmp_path):
    def picture(number):
        time.sleep(random.Random(number).choice([0, 0, 0.002]))
        return noise(number)

    cache = build(tmp_path, refs=references(COUNT, picture=picture), workers=5)
    assert len(cache) == COUNT
    assert len(files(tmp_path)) == 3
    assert files(tmp_path) == files(finished[0])


def test_rows_follow_the_images_order(finished, tmp_path):
    order = random.Random(0).sample(range(COUNT), COUNT)
    refs = references(COUNT)
    cache = build(tmp_path, refs=[refs[index] for index in order])
    assert same_bits(everything(cache), finished[1][order])
    assert not files(tmp_path).keys() & files(finished[0]).keys()


def test_other_data_have_another_cache(tmp_path):
    refs = references(3)
    for data in ("one", "other"):
        build_image_cache(plain_model(), refs, data, tmp_path, workers=1)
    build_image_cache(plain_model(), refs[:2], "one", tmp_path, workers=1)
    build_image_cache(plain_model(9), refs, "one", tmp_path, workers=1)
    assert len(files(tmp_path)) == 4


def test_decoding_stays_within_a_chunk_of_what_is_written(tmp_path):
    opened, ahead = [], []
    build(tmp_path, opened, count=5 * CHUNK, on_progress=lambda done, _: ahead.append(len(opened) - done))
    assert len(ahead) == 5
    assert max(ahead) <= CHUNK


def test_no_images_are_an_error(tmp_path):
    with pytest.raises(DataError, match="no images"):
        build_image_cache(plain_model(), [], "data", tmp_path, workers=1)
