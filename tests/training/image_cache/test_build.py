"""A pixel cache is sound whatever happened to it: killed, shared, damaged, fed broken images, out of space."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipbench.errors import DataError
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
    """A copy of a finished cache to do harm to: its parent folder, and its own."""
    shutil.copytree(finished[0], tmp_path / "pixels")
    return tmp_path / "pixels", next(path for path in (tmp_path / "pixels").iterdir() if path.is_dir())


# Killed, and at once

CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from clipbench.training.image_cache.cache import build_pixels
from tests.training.plain_model import noise, plain_model, references

folder, stop, go, log = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), open(sys.argv[4], "a")
def picture(number):
    print(number, file=log, flush=True)
    while number >= stop and not go.exists():
        time.sleep(0.01)
    return noise(number)
cache = build_pixels(plain_model(), references(600, picture=picture), "data", Path(folder), workers=2,
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


@pytest.mark.parametrize("tail", [b"\n", b"", b'\n{"chunk": 2, "sha'], ids=["whole", "no line end", "torn line"])
def test_an_interrupted_build_goes_on_where_it_was(finished, tmp_path, tail):
    def interrupt(done, total):
        if done == 2 * CHUNK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, on_progress=interrupt)
    (journal,) = tmp_path.glob("*/chunks.jsonl")
    journal.write_bytes(journal.read_bytes().rstrip() + tail)
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


HARM = {
    "a flipped bit": (lambda home: flip(home / "pixels.bin", 300 * ROW + 5), [1], "1 chunk of 3 failed the checksum"),
    "the last byte": (lambda home: flip(home / "pixels.bin", COUNT * ROW - 1), [2], "1 chunk of 3 failed"),
    "cut in a row": (lambda home: cut(home / "pixels.bin", 400 * ROW + 7), [1, 2], "2 chunks of 3 failed"),
    "cut by a byte": (lambda home: cut(home / "pixels.bin", COUNT * ROW - 1), [2], "1 chunk of 3 failed"),
    "no pixels": (lambda home: (home / "pixels.bin").unlink(), [0, 1, 2], "3 chunks of 3 failed"),
    "garbage for an index": (lambda home: (home / "index.json").write_bytes(b"\xff{"), [0, 1, 2], "index.json"),
    "an empty index": (lambda home: (home / "index.json").write_bytes(b""), [0, 1, 2], "index.json is damaged"),
    "a list for an index": (lambda home: (home / "index.json").write_text("[]"), [0, 1, 2], "index.json is damaged"),
    "a garbage journal": (lambda home: (home / "chunks.jsonl").write_bytes(b"\xff\n\n7\n"), [0, 1, 2], "chunks.jsonl"),
}


@pytest.mark.parametrize("kind", HARM)
def test_what_is_damaged_is_decoded_again_and_said(damaged, finished, kind):
    folder, home = damaged
    harm, chunks, says = HARM[kind]
    harm(home)
    opened, notes = [], []
    cache = build(folder, opened, notes)
    assert sorted(opened) == [i for i in range(COUNT) if i // CHUNK in chunks]
    assert len(notes) == 1
    assert says in notes[0]
    assert str(home) in notes[0]
    assert same_bits(everything(cache), finished[1])
    opened, notes = [], []
    build(folder, opened, notes)
    assert (opened, notes) == ([], [])


@pytest.mark.parametrize(
    "change",
    [{"sha256": "0" * 64}, {"sha256": 7}, {"broken": {"300": "gone"}}, {"broken": 5}, {"chunk": 99}, {"chunk": None}],
    ids=str,
)
def test_a_journal_line_that_says_something_else_is_not_believed(damaged, finished, change):
    folder, home = damaged
    journal = home / "chunks.jsonl"
    lines = journal.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), **change})
    journal.write_text("\n".join(lines) + "\n")
    opened, notes = [], []
    cache = build(folder, opened, notes)
    assert set(opened) == set(range(CHUNK, 2 * CHUNK))
    assert len(notes) == 1
    assert cache.broken == {}
    assert same_bits(everything(cache), finished[1])


def test_bytes_behind_the_end_do_no_harm(damaged, finished):
    folder, home = damaged
    with (home / "pixels.bin").open("ab") as file:
        file.write(b"more")
    opened = []
    assert same_bits(everything(build(folder, opened)), finished[1])
    assert opened == []


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_on_the_way_is_an_error(damaged):
    folder, home = damaged
    (home / "pixels.bin").unlink()
    (home / "pixels.bin").symlink_to("/dev/full")
    with pytest.raises(DataError, match=f"the disk is full: .* {COUNT * ROW:,} bytes"):
        build(folder)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be read or written"):
        build(tmp_path / "file" / "below")


def test_the_checksum_is_sha256_over_rows_and_broken_images(finished):
    home = build(finished[0]).folder
    line = json.loads((home / "chunks.jsonl").read_text().splitlines()[2])
    rows = (home / "pixels.bin").read_bytes()[2 * CHUNK * ROW :]
    assert line == {"chunk": 2, "sha256": hashlib.sha256(rows + b"[]").hexdigest(), "broken": {}}
