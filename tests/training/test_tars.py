"""Training on tars: the weights of the same data as a table, whatever is cached, killed, or shared among processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clipbench.errors import DataError
from clipbench.training.batches import Batches, ProcessShard
from clipbench.training.negatives.columns import GivenColumns
from clipbench.training.options import FinetuneOptions
from tests.data.tar_shards import picture, write_tar


@pytest.fixture(scope="module")
def shards(table, tmp_path_factory):
    """The table as two tars, of 17 and 7 samples."""
    folder = tmp_path_factory.mktemp("shards")
    with table.open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    for number, part in enumerate((rows[:17], rows[17:])):
        files = {}
        for row in part:
            stem = row["image"].removesuffix(".png")
            files |= {f"{stem}.png": (table.parent / row["image"]).read_bytes(), f"{stem}.txt": row["caption"].encode()}
        write_tar(folder / f"{number:05d}.tar", files)
    return folder


def train(run):
    for _ in run.run():
        pass
    return load_file(run.setup.folder.path / "model.safetensors")


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("fields", [{}, {"image_cache": "none"}, {"image_cache": "none", "freeze": ("image",)}])
def test_two_tars_train_the_weights_of_the_same_data_as_a_table(start, shards, tmp_path, fields):
    fields = {"epochs": 2, "max_steps": 5, "checkpoint_every": 9, **fields}
    kept = {name: value for name, value in fields.items() if name != "image_cache"}
    expected = train(start(tmp_path / "table", **kept))
    assert same(train(start(tmp_path / "tars", data=shards / "{00000..00001}.tar", **fields)), expected)


def test_without_a_cache_pixels_are_those_of_the_cache(start, shards, tmp_path):
    indices = np.array([5, 0, 23, 5])
    found = [
        start(tmp_path / name, data=shards, **fields).setup.batches._images.batch(indices)
        for name, fields in (("cached", {}), ("streamed", {"image_cache": "none"}))
    ]
    assert torch.equal(found[0].view(torch.int32), found[1].view(torch.int32))


def test_killed_it_ends_with_the_same_weights(shards, tmp_path):
    words = [sys.executable, "-m", "clipbench", "finetune", "--model", "demo", "--train_data", f"{shards}/*.tar",
             "--concept", "color", "--batch_size", "8", "--epochs", "4", "--checkpoint_every", "0.1",
             "--learning_rate", "1e-3", "--device", "cpu", "--image_cache", "none"]  # fmt: skip
    assert subprocess.run([*words, "-o", tmp_path / "whole"], capture_output=True).returncode == 0
    process = subprocess.Popen([*words, "-o", tmp_path / "killed"], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "killed").glob("checkpoint-*")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = subprocess.run([*words, "-o", tmp_path / "killed"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert same(*(load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed")))


@pytest.mark.parametrize("processes", [2, 4])
def test_tars_of_unequal_length_are_shared_out_without_a_double(start, shards, tmp_path, processes):
    setup = start(tmp_path, data=shards, image_cache="none").setup
    images = setup.batches._images
    parts = [
        Batches(setup.model, setup.pairs, images, setup.recipe, ProcessShard(number, processes))
        for number in range(processes)
    ]
    assert len({part.steps for part in parts}) == 1
    for step in range(setup.batches.steps_per_epoch):
        shared = [name for part in parts for name in part.make(step).ids]
        assert shared == setup.batches.make(step).ids
    seen = [name for step in range(setup.batches.steps_per_epoch) for name in setup.batches.make(step).ids]
    assert len(set(seen)) == len(seen) == 24


@pytest.mark.parametrize("cache", [None, "none"])
def test_broken_images_are_counted_once_and_left_out(start, shards, tmp_path, cache):
    broken = tmp_path / "broken"
    write_tar(
        broken / "1.tar", {"x.jpg": b"no image", "x.txt": b"a red cat", "y.jpg": b"\xff\xd8", "y.txt": b"a white dog"}
    )
    (broken / "0.tar").write_bytes((shards / "00000.tar").read_bytes())
    fields = {"data": broken, "max_steps": 1, **({"image_cache": cache} if cache else {})}
    if cache is None:
        with pytest.raises(DataError, match=r"2 images cannot be read \(1\.tar/x\.jpg: not an image"):
            start(tmp_path / "strict", **fields)
    else:
        with pytest.raises(DataError, match=r"1\.tar/.\.jpg: .*; set allow_missing to check all images"):
            train(start(tmp_path / "strict", **{**fields, "max_steps": None, "batch_size": 19}))
    for name in ("first", "again"):
        run = start(tmp_path / name, allow_missing=True, **fields)
        assert run.setup.pairs.left_out == 2
        assert any("2 captions left out" in note for note in run.notes)
    whole = start(tmp_path / "whole", **{**fields, "data": broken / "0.tar"})
    assert same(train(run), train(whole))


def test_a_tar_that_is_cut_off_is_refused_or_said(start, shards, tmp_path):
    cut = tmp_path / "cut"
    cut.mkdir()
    for file in shards.iterdir():
        (cut / file.name).write_bytes(file.read_bytes()[: 55_000 if file.name == "00000.tar" else None])
    with pytest.raises(DataError, match=r"00000\.tar is cut off: \d+ whole samples; set allow_missing to train"):
        start(tmp_path / "strict", data=cut)
    run = start(tmp_path / "some", data=cut, allow_missing=True, max_steps=1)
    (note,) = (note for note in run.notes if "is cut off" in note)
    whole = int(note.partition(": ")[2].split()[0])
    assert len(run.setup.pairs) == whole + 7
    assert 3 < whole < 17
    train(run)


def test_tars_hold_hard_negatives_and_negative_images(tmp_path):
    files = {}
    for number, word in enumerate(("red", "blue")):
        texts = {"caption": f"a {word} cat", "negatives": [f"a {word} dog", f"a {word} bird"], "other": 1 - number}
        files |= {
            f"{number}.png": picture(number),
            f"{number}.neg.png": picture(9),
            f"{number}.json": json.dumps(texts).encode(),
        }
    location = str(write_tar(tmp_path / "a.tar", files))
    for column, key in (("neg.png", "a.tar/0.neg.png"), ("other", "a.tar/1.png")):
        found = list(GivenColumns(f"{location}?images=png", ("negatives",), (column,)).rows(lambda texts: True))
        assert [read.negatives for read in found] == [("a red dog", "a red bird"), ("a blue dog", "a blue bird")]
        assert found[0].image.key == "a.tar/0.png"
        assert [ref.key for ref in found[0].images] == [key]
    with pytest.raises(DataError, match=r"no sample has foil; there are: .*json: negatives"):
        GivenColumns(f"{location}?images=png", ("foil",))


def test_none_is_no_folder():
    options = FinetuneOptions(image_cache="none")
    assert not options.keeps_images
    assert options.image_cache_folder.name == "pixels"
    assert options.image_cache_folder == FinetuneOptions().image_cache_folder
