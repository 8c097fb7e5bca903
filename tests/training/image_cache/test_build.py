"""A pixel cache is sound whatever happened to it: killed, shared, damaged, fed broken images, out of space."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipbench.data.records import file_ref
from clipbench.errors import DataError
from clipbench.training.image_cache.codes import find_codec
from clipbench.types import ImageRef
from tests.training.plain_model import CHUNK, COUNT, ROW, build, everything, noise, plain_model, references, same_bits

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished cache of COUNT images: its parent folder, and what it holds."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, everything(build(folder))


@pytest.fixture
def damaged(finished, tmp_path):
    """A copy of a finished cache to do harm to: its folder, and the files of its chunks in order."""
    shutil.copytree(finished[0], tmp_path / "pixels")
    return tmp_path / "pixels", chunk_files(tmp_path / "pixels")


def chunk_files(folder):
    """The files of the chunks of 600 images, in the order of the images."""
    found = {first_row(file): file for file in folder.glob("*.pixels")}
    firsts = [live(number) for number in range(0, COUNT, CHUNK)]
    return [found[first] for first in firsts]


def first_row(file):
    return file.read_bytes()[:ROW]


def live(number):
    codec, row = find_codec(plain_model()), np.empty((3, 8, 8), np.uint8)
    codec.encode(plain_model().preprocess(noise(number)), row)
    return row.tobytes()


# Killed, and at once

CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from clipbench.training.image_cache.build import build_image_cache
from tests.training.plain_model import noise, plain_model, references

folder, stop, go, log = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), open(sys.argv[4], "a")
def picture(number):
    print(number, file=log, flush=True)
    while number >= stop and not go.exists():
        time.sleep(0.01)
    return noise(number)
cache = build_image_cache(plain_model(), references(600, picture=picture), "data", Path(folder), workers=2,
    on_progress=lambda done, total: print("done", done, flush=True), on_note=lambda note: print(note, flush=True))
print("sum", cache.batch(np.arange(600)).double().sum().item(), flush=True)
"""


def child(tmp_path, folder, stop, log="log"):
    """A process that builds, and from image ``stop`` on waits for the file ``go``."""
    command = [sys.executable, "-c", CHILD, str(folder), str(stop), str(tmp_path / "go"), str(tmp_path / log)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def wait_for(process, text):
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"the process ended (code {process.wait()}) and never said {text!r}")


def test_a_killed_build_goes_on_where_it_was(finished, tmp_path):
    process = child(tmp_path, tmp_path / "pixels", stop=2 * CHUNK + 30)
    try:
        wait_for(process, f"done {2 * CHUNK}")
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    goes_on(tmp_path / "pixels", finished)


@pytest.mark.parametrize("part", [b"", b"half of a chunk"], ids=["between chunks", "within one"])
def test_an_interrupted_build_goes_on_where_it_was(finished, tmp_path, part):
    def interrupt(done, total):
        if done == 2 * CHUNK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, on_progress=interrupt)
    if part:
        (tmp_path / ".0123.pixels.0123456789ab.part").write_bytes(part)
    goes_on(tmp_path, finished)


def goes_on(folder, finished):
    """The third chunk is decoded, and nothing else; then nothing is left to do."""
    for left in (list(range(2 * CHUNK, COUNT)), []):
        opened, notes = [], []
        cache = build(folder, opened, notes)
        assert notes == []
        assert same_bits(everything(cache), finished[1])
        assert sorted(opened) == left


def test_two_processes_at_once_build_it_once(finished, tmp_path):
    first = child(tmp_path, tmp_path / "pixels", stop=CHUNK)
    second = None
    try:
        wait_for(first, f"done {CHUNK}")
        second = child(tmp_path, tmp_path / "pixels", stop=0)
        wait_for(second, "waiting for it")
        (tmp_path / "go").touch()
        sums = {float(wait_for(process, "sum").split()[1]) for process in (first, second)}
        assert sums == {finished[1].double().sum().item()}
        assert first.wait() == second.wait() == 0
    finally:
        for process in filter(None, (first, second)):
            process.kill()
            process.communicate()
    opened = [int(line) for line in (tmp_path / "log").read_text().split()]
    assert sorted(opened) == list(range(COUNT))


# Damaged


def flip(file, position):
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(data)


def cut(file, size):
    with file.open("r+b") as handle:
        handle.truncate(size)


def footer(file, **changes):
    data = file.read_bytes()
    rows, entry = data[: data.rindex(b'{"sha256"')], json.loads(data[data.rindex(b'{"sha256"') :])
    file.write_bytes(rows + json.dumps({**entry, **changes}).encode())


HARM = {
    "a flipped bit": lambda file: flip(file, 44 * ROW + 5),
    "the last byte": lambda file: flip(file, -1),
    "cut in a row": lambda file: cut(file, 144 * ROW + 7),
    "cut by a byte": lambda file: cut(file, file.stat().st_size - 1),
    "no checksum": lambda file: cut(file, CHUNK * ROW),
    "empty": lambda file: cut(file, 0),
    "garbage": lambda file: file.write_bytes(b"\xff{"),
    "bytes behind the end": lambda file: file.write_bytes(file.read_bytes() + b"more"),
    "another checksum": lambda file: footer(file, sha256="0" * 64),
    "a number for a checksum": lambda file: footer(file, sha256=7),
    "another broken image": lambda file: footer(file, broken={"44": "gone"}),
    "no list of broken images": lambda file: footer(file, broken=5),
}


@pytest.mark.parametrize("kind", HARM)
def test_what_is_damaged_is_decoded_again_and_said(damaged, finished, kind):
    folder, files = damaged
    HARM[kind](files[1])
    opened, notes = [], []
    cache = build(folder, opened, notes)
    assert sorted(opened) == list(range(CHUNK, 2 * CHUNK))
    assert notes == [f"{folder}: 1 chunk of 3 damaged: rebuilt (256 images)"]
    assert cache.broken == {}
    assert same_bits(everything(cache), finished[1])
    opened, notes = [], []
    build(folder, opened, notes)
    assert (opened, notes) == ([], [])


def test_what_is_gone_is_decoded_again(damaged, finished):
    folder, files = damaged
    for file in (files[0], files[2]):
        file.unlink()
    opened = []
    assert same_bits(everything(build(folder, opened)), finished[1])
    assert sorted(opened) == [i for i in range(COUNT) if i // CHUNK != 1]


# Content


def photographs(folder, numbers):
    """Files of noise, by the names of their places; ``numbers[i]`` is what file i shows."""
    folder.mkdir(exist_ok=True)
    for place, number in enumerate(numbers):
        noise(number).save(folder / f"{place}.png")
    return [file_ref(folder / f"{place}.png", str(place), missing=False) for place in range(len(numbers))]


def test_exchanged_photographs_are_not_trained_on_as_the_old_ones(tmp_path):
    """Another photograph under the same name, in the same table."""
    before = build(tmp_path / "cache", refs=photographs(tmp_path / "a", [1, 2, 3]))
    expected = everything(before).clone()
    after = build(tmp_path / "cache", refs=photographs(tmp_path / "a", [1, 9, 3]))
    assert same_bits(everything(after)[[0, 2]], expected[[0, 2]])
    assert not torch.equal(everything(after)[1], expected[1])
    assert same_bits(everything(after)[1], plain_model().preprocess(noise(9)))
    assert same_bits(everything(before), expected)  # a run that is under way keeps its own


def test_a_truncated_photograph_is_said(tmp_path):
    refs = photographs(tmp_path / "a", [1, 2, 3])
    assert build(tmp_path / "cache", refs=refs).broken == {}
    cut(tmp_path / "a/1.png", 100)
    assert list(build(tmp_path / "cache", refs=refs).broken) == [1]
    noise(2).save(tmp_path / "a/1.png")
    assert build(tmp_path / "cache", refs=refs).broken == {}


def test_equal_photographs_elsewhere_share_a_cache_and_unchanged_files_are_not_read_again(tmp_path):
    refs = photographs(tmp_path / "a", [1, 2, 3])
    build(tmp_path / "cache", refs=refs)
    elsewhere, opened = photographs(tmp_path / "b", [1, 2, 3]), []

    def watched(ref):
        return ImageRef(ref.key, ref.open, content=lambda: opened.append(ref.key) or ref.content(), path=ref.path)

    build(tmp_path / "cache", refs=[watched(ref) for ref in refs])
    assert opened == []
    build(tmp_path / "cache", refs=[watched(ref) for ref in elsewhere])
    assert sorted(opened) == ["0", "1", "2"]  # each once; threads read them in any order
    assert len(list((tmp_path / "cache").glob("*.pixels"))) == 1


def test_a_damaged_record_of_contents_costs_reading_only(tmp_path):
    refs = photographs(tmp_path / "a", [1, 2, 3])
    expected = everything(build(tmp_path / "cache", refs=refs))
    (record,) = (tmp_path / "cache").glob("*.contents.json")
    for garbage in (b"\xff{", b"[]", b"[[1], 2, 3]", b"{}"):
        record.write_bytes(garbage)
        assert same_bits(everything(build(tmp_path / "cache", refs=refs)), expected)


# Images that cannot be read


def breaking(broken, opened=None):
    """600 images, of which those in ``broken`` cannot be read."""

    def open_one(number):
        if opened is not None:
            opened.append(number)
        if number in broken:
            raise DataError(f"{number}: the image is empty (0 bytes)")
        return noise(number)

    return [ImageRef(str(number), lambda number=number: open_one(number)) for number in range(COUNT)]


def test_broken_images_are_listed_and_never_trained_on(finished, tmp_path):
    cache = build(tmp_path, refs=breaking({0, 257, 599}))
    assert cache.broken == {number: f"{number}: the image is empty (0 bytes)" for number in (0, 257, 599)}
    good = np.array([i for i in range(COUNT) if i not in cache.broken])
    assert same_bits(cache.batch(good), finished[1][good])
    with pytest.raises(DataError, match="257: the image is empty"):
        cache.batch(np.array([1, 257]))


def test_broken_images_are_tried_again_and_mended_alone(finished, tmp_path):
    build(tmp_path, refs=breaking({0, 257, 258}))
    opened, notes = [], []
    cache = build(tmp_path, refs=breaking({258}, opened), notes=notes)
    assert sorted(opened) == [0, 257, 258]
    assert len(notes) == 1
    assert "2 images" in notes[0]
    assert set(cache.broken) == {258}
    good = np.array([i for i in range(COUNT) if i != 258])
    assert same_bits(cache.batch(good), finished[1][good])
    opened, notes = [], []
    build(tmp_path, refs=breaking({258}, opened), notes=notes)
    assert (opened, notes) == ([258], [])  # checksums fit what was mended


def test_an_image_that_preprocessing_trips_over_is_broken(tmp_path):
    model = plain_model()
    plain = model.preprocess

    def preprocess(image):
        if image.size == (1, 500):
            raise ValueError("height and width must be > 0")
        return plain(image)

    model.preprocess = preprocess
    refs = references(3, picture=lambda number: Image.new("RGB", (1, 500)) if number == 1 else noise(number))
    cache = build(tmp_path, model=model, refs=refs)
    assert list(cache.broken) == [1]
    assert cache.broken[1].startswith("1: ")
    assert "height and width must be > 0" in cache.broken[1]


# The disk


def test_a_disk_too_small_is_found_out_before_decoding(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=COUNT * ROW - 1))
    opened = []
    with pytest.raises(DataError, match=f"{COUNT * ROW:,} bytes") as caught:
        build(tmp_path, opened)
    assert str(tmp_path) in str(caught.value)
    assert opened == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=COUNT * ROW))
    build(tmp_path)


def test_a_disk_that_fills_up_on_the_way_is_an_error(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        build(tmp_path)
    assert list(tmp_path.glob("*.pixels")) == []


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be read or written"):
        build(tmp_path / "file" / "below")


def test_the_checksum_is_sha256_over_rows_and_broken_images(finished):
    data = chunk_files(finished[0])[2].read_bytes()
    rows, entry = data[: 88 * ROW], json.loads(data[88 * ROW :])
    assert entry == {"sha256": hashlib.sha256(rows + b"[]").hexdigest(), "broken": {}}
