"""Embeddings from files: looked up exactly, and refused where they do not fit."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import clipbench
from clipbench.data import Dataset, open_source
from clipbench.errors import ModelError
from tests.toy import write_toy


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return folder, write_toy(folder)


def scored(model, task, **options):
    found = {}
    results = clipbench.evaluate(
        model, str(task), on_sample=lambda name, result: found.update({result.sample_id: result.record}), **options
    )
    return results.tasks["toy_color"], found


def texts_of(task):
    _, found = scored("demo", task)
    return sorted({text for record in found.values() for text in record["texts"]})


def random_embeddings(folder, task, unit):
    draw = np.random.default_rng(0)
    keys = [row.images[0].key for row in open_source(Dataset("toy", None), str(folder / "toy.csv")).rows()]
    texts = texts_of(task)
    images, rows = draw.normal(size=(len(keys), 6)), draw.normal(size=(len(texts), 6))
    if unit:
        images, rows = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (images, rows))
    return {
        "image_keys": np.array(keys),
        "image_features": images.astype(np.float32),
        "texts": np.array(texts),
        "text_features": rows.astype(np.float32),
    }


@pytest.mark.parametrize("unit", [True, False])
def test_files_made_elsewhere_give_cosines(toy, tmp_path, unit):
    folder, task = toy
    parts = random_embeddings(folder, task, unit)
    np.savez(tmp_path / "made.npz", **parts)
    _, found = scored(f"embeddings:{tmp_path / 'made.npz'}", task)
    rows = dict(zip(parts["texts"], parts["text_features"].astype(np.float64), strict=True))
    images = dict(zip(parts["image_keys"], parts["image_features"].astype(np.float64), strict=True))
    assert found
    for record in found.values():
        image = images[record["images"][0]]
        for text, score in zip(record["texts"], record["scores"], strict=True):
            cosine = image @ rows[text] / np.linalg.norm(image) / np.linalg.norm(rows[text])
            assert score == pytest.approx(cosine, abs=1e-6)


def test_images_are_found_by_file_name(toy, tmp_path):
    folder, task = toy
    parts = random_embeddings(folder, task, True)
    np.savez(tmp_path / "made.npz", **parts)
    _, expected = scored(f"embeddings:{tmp_path / 'made.npz'}", task)
    parts["image_keys"] = np.array([f"elsewhere/deep/{key}" for key in parts["image_keys"]])
    np.savez(tmp_path / "moved.npz", **parts)
    _, found = scored(f"embeddings:{tmp_path / 'moved.npz'}", task)
    assert found == expected


def test_missing_images_and_texts_are_named_and_counted(toy, tmp_path):
    folder, task = toy
    parts = random_embeddings(folder, task, True)
    fewer = {**parts, "image_keys": parts["image_keys"][1:], "image_features": parts["image_features"][1:]}
    np.savez(tmp_path / "fewer.npz", **fewer)
    result, found = scored(f"embeddings:{tmp_path / 'fewer.npz'}", task)
    assert "1 image cannot be read" in result.error
    assert f"{parts['image_keys'][0]}: no embedding" in result.error
    result, some = scored(f"embeddings:{tmp_path / 'fewer.npz'}", task, allow_missing=True)
    assert result.error is None
    assert some == found
    fewer = {**parts, "texts": parts["texts"][1:], "text_features": parts["text_features"][1:]}
    np.savez(tmp_path / "fewer.npz", **fewer)
    result, _ = scored(f"embeddings:{tmp_path / 'fewer.npz'}", task)
    assert "1 sample cannot be scored" in result.error
    assert f"holds no embedding of {str(parts['texts'][0])!r}" in result.error


def test_photographs_are_not_needed(toy, tmp_path):
    folder, task = toy
    np.savez(tmp_path / "made.npz", **random_embeddings(folder, task, True))
    _, expected = scored(f"embeddings:{tmp_path / 'made.npz'}", task)
    (tmp_path / "moved").mkdir()
    for name in ("toy.csv", task.name):
        (tmp_path / "moved" / name).write_text((folder / name).read_text())
    result, found = scored(f"embeddings:{tmp_path / 'made.npz'}", tmp_path / "moved" / task.name)
    assert result.error is None
    assert found == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_features": np.ones((4, 5), np.float32)}, "images have 5 dimensions and texts 6"),
        ({"image_features": np.ones((3, 6), np.float32)}, "4 image_keys and 3 rows of image_features"),
        ({"image_features": np.full((4, 6), np.nan, np.float32)}, "4 of 4 image embeddings are not finite or are zero"),
        ({"image_features": np.ones(4, np.float32)}, "not a matrix"),
        ({"image_features": np.array([["a"] * 6] * 4)}, "not a matrix of numbers"),
        ({"image_keys": np.array(["a", "a", "b", "c"])}, "two different embeddings of image 'a'"),
    ],
)
def test_files_that_do_not_fit_are_refused(toy, tmp_path, change, message):
    folder, task = toy
    np.savez(tmp_path / "made.npz", **{**random_embeddings(folder, task, True), **change})
    with pytest.raises(ModelError, match=message):
        clipbench.load_model(f"embeddings:{tmp_path / 'made.npz'}")


def test_files_that_are_none_are_refused(toy, tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(ModelError, match="cannot be read"):
        clipbench.load_model(f"embeddings:{tmp_path / 'a.npz'}")
    np.savez(tmp_path / "b.npz", image_keys=np.array(["a"]))
    with pytest.raises(ModelError, match="lacks image_features"):
        clipbench.load_model(f"embeddings:{tmp_path / 'b.npz'}")
    save_file({"image_features": np.ones((1, 2), np.float32)}, tmp_path / "c.safetensors")
    (tmp_path / "c.json").write_text(json.dumps({"image_keys": ["a"], "texts": []}))
    with pytest.raises(ModelError, match="lacks text_features"):
        clipbench.load_model(f"embeddings:{tmp_path / 'c.safetensors'}")
    with pytest.raises(ModelError, match="no such file"):
        clipbench.load_model("embeddings:nowhere.npz")
