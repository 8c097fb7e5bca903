import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clipbench.errors import UnknownName
from clipbench.inference.embedding_cache import EmbeddingCache, image_key, text_key
from clipbench.inference.embedding_cache.feature_key import FeatureKey
from clipbench.inference.embedding_cache.maintenance import list_spaces, remove, verify

SPACE = FeatureKey("ab" * 16, "org/model", "float32", "cpu")
OTHER = FeatureKey("cd" * 16, "org/other", "bfloat16", "cpu")
ROOT = Path(__file__).parents[3]


def features(names, dim=8):
    """What each name's embedding is: unequal, and the same everywhere."""
    return np.stack([np.random.default_rng(list(name.encode())).standard_normal(dim) for name in names]).astype("f4")


def opened(folder, space=SPACE):
    notes = []
    return EmbeddingCache(folder, space, notes.append), notes


def fill(folder, names=("a", "b", "c"), kind="texts", space=SPACE):
    cache, notes = opened(folder, space)
    cache.add(kind, [text_key(name) for name in names], features(names), [name == "b" for name in names])
    assert notes == []
    return cache


def held(cache, names):
    found = cache.find([text_key(name) for name in names])
    for name in names:
        if text_key(name) in found:
            assert found[text_key(name)].feature.tobytes() == features([name]).tobytes()
            assert found[text_key(name)].truncated == (name == "b")
    return [name for name in names if text_key(name) in found]


def shards(folder):
    return sorted(folder.rglob("*.safetensors"))


def test_what_was_added_is_found_at_once_and_by_the_next_process(tmp_path):
    cache = fill(tmp_path)
    assert held(cache, "abcd") == ["a", "b", "c"]
    assert held(opened(tmp_path)[0], "abcd") == ["a", "b", "c"]
    assert not list(tmp_path.rglob("*.part"))


def test_images_and_texts_never_stand_for_each_other(tmp_path):
    cache = fill(tmp_path)
    assert cache.find([image_key(b"a")]) == {}


def test_another_space_sees_nothing(tmp_path):
    fill(tmp_path)
    assert held(opened(tmp_path, OTHER)[0], "abc") == []


def test_a_shard_moved_to_another_models_folder_is_not_served(tmp_path):
    fill(tmp_path)
    (shard,) = shards(tmp_path)
    fill(tmp_path, "xy", space=OTHER)
    shard.rename(tmp_path / "embeddings" / OTHER.key / shard.name)
    cache, notes = opened(tmp_path, OTHER)
    assert held(cache, "abcxy") == ["x", "y"]
    assert "of another model" in notes[0]


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def position_of(path, name):
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    return 8 + length + header[name]["data_offsets"][0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: flip(path, position_of(path, "features") + 3),
        lambda path: flip(path, position_of(path, "keys") + 7),
        lambda path: flip(path, position_of(path, "truncated")),
        lambda path: flip(path, 0),
        lambda path: flip(path, 30),
        lambda path: cut(path, 0),
        lambda path: cut(path, 5),
        lambda path: cut(path, 200),
        lambda path: cut(path, -1),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(b"garbage" * 100),
        lambda path: path.write_bytes((90_000).to_bytes(8, "little") + b"[" * 90_000),
        lambda path: path.write_bytes((2).to_bytes(8, "little") + b"{}"),
        lambda path: (path.unlink(), os.mkfifo(path)),  # opening it would wait for a writer
        lambda path: path.write_bytes((2**62).to_bytes(8, "little")),
    ],
)
def test_a_damaged_shard_is_dropped_and_said_and_its_texts_can_be_added_again(tmp_path, damage):
    fill(tmp_path, "abc")
    (shard,) = shards(tmp_path)
    fill(tmp_path, "xy")
    damage(shard)
    cache, notes = opened(tmp_path)
    assert held(cache, "abcxy") == ["x", "y"]
    assert held(cache, "abc") == []
    assert len(notes) == 1
    assert str(shard) in notes[0]
    assert "dropped" in notes[0]
    assert not shard.exists()
    cache.add("texts", [text_key(name) for name in "abc"], features("abc"), [False, True, False])
    assert held(cache, "abcxy") == ["a", "b", "c", "x", "y"]
    assert list(verify(tmp_path)) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_still_serves(tmp_path):
    fill(tmp_path)
    folder = tmp_path / "embeddings" / SPACE.key
    folder.chmod(0o500)
    try:
        cache, notes = opened(tmp_path)
        cache.add("texts", [text_key("x")], features("x"), [False])
        assert held(cache, "abcx") == ["a", "b", "c"]
        assert len(notes) == 1
        assert "cannot be stored" in notes[0]
    finally:
        folder.chmod(0o700)


def test_what_cannot_be_written_is_said_once_and_the_rest_goes_on(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    cache = fill(tmp_path)
    notes = []
    cache._note = notes.append
    monkeypatch.setattr(os, "replace", full)
    for name in "xyz":
        cache.add("texts", [text_key(name)], features(name), [False])
    assert held(cache, "abcxyz") == ["a", "b", "c"]
    assert len(notes) == 1
    assert "No space left on device" in notes[0]
    assert not list(tmp_path.rglob("*.part"))


def test_a_damaged_shard_that_may_not_be_removed_is_passed_over_and_said_once(tmp_path, monkeypatch):
    fill(tmp_path)
    (shard,) = shards(tmp_path)
    flip(shard, position_of(shard, "features"))
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "no")))
    cache, notes = opened(tmp_path)
    assert held(cache, "abc") == []
    assert held(cache, "abc") == []
    assert len(notes) == 1


def test_a_cache_that_is_removed_meanwhile_is_begun_anew(tmp_path):
    cache = fill(tmp_path)
    reader, notes = opened(tmp_path)
    remove(tmp_path)
    assert not (tmp_path / "embeddings" / SPACE.key).exists()
    assert held(reader, "abc") == []
    cache.add("texts", [text_key("x")], features("x"), [False])
    assert held(opened(tmp_path)[0], "abcx") == ["x"]
    assert notes == []


WRITER = """
import sys, time
from pathlib import Path
from tests.inference.embedding_cache.test_cache import features, opened, text_key
folder, names = Path(sys.argv[1]), sys.argv[2].split(",")
cache, notes = opened(folder)
(folder / f"ready-{names[0]}").touch()
while not (folder / "go").exists():
    time.sleep(0.001)
for name in names:
    if text_key(name) not in cache.find([text_key(name)]):
        cache.add("texts", [text_key(name)], features([name]), [name == "b"])
assert not notes, notes
"""


def test_two_processes_at_once_lose_nothing_and_tear_nothing(tmp_path):
    everything = [str(number) for number in range(120)]
    parts = (everything[:80], everything[:39:-1])
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), ",".join(part)], cwd=ROOT) for part in parts
    ]
    while not all((tmp_path / f"ready-{part[0]}").exists() for part in parts):
        assert all(writer.poll() is None for writer in writers)
    (tmp_path / "go").touch()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    cache, notes = opened(tmp_path)
    assert held(cache, everything) == everything
    assert notes == []
    assert list(verify(tmp_path)) == []


def test_listing_counts_and_orders_by_last_use(tmp_path):
    assert list_spaces(tmp_path) == []
    fill(tmp_path, "abc")
    fill(tmp_path, "xy", kind="images")
    fill(tmp_path, "a", space=OTHER)
    os.utime(tmp_path / "embeddings" / SPACE.key / "model.json", (5, 5))
    newer, older = list_spaces(tmp_path)
    assert (newer.model, newer.precision, newer.images, newer.texts) == ("org/other", "bfloat16", 0, 1)
    assert (older.model, older.images, older.texts, older.last_used) == ("org/model", 2, 3, 5)
    assert older.size == sum(file.stat().st_size for file in older.folder.iterdir())
    opened(tmp_path)
    assert list_spaces(tmp_path)[0].model == "org/model"


def test_removing_one_model_leaves_the_others_and_foreign_files(tmp_path):
    fill(tmp_path)
    fill(tmp_path, space=OTHER)
    foreign = tmp_path / "embeddings" / SPACE.key / "notes.md"
    foreign.write_text("mine")
    with pytest.raises(UnknownName, match="did you mean org/model"):
        remove(tmp_path, "org/modl")
    assert [space.model for space in remove(tmp_path, "org/model")] == ["org/model"]
    assert foreign.read_text() == "mine"
    assert held(opened(tmp_path, OTHER)[0], "abc") == ["a", "b", "c"]
    assert [space.key for space in remove(tmp_path, OTHER.key[:8])] == [OTHER.key]
    assert shards(tmp_path) == []


def test_verify_finds_each_damage_and_clears_away_what_dead_processes_left(tmp_path):
    for name in "abcd":
        fill(tmp_path, name)
    first, second, *_ = shards(tmp_path)
    flip(first, position_of(first, "features"))
    cut(second, 50)
    stale, fresh = first.with_name("texts-1.part"), first.with_name("texts-2.part")
    for part in (stale, fresh):
        part.write_bytes(b"half")
    os.utime(stale, (0, 0))
    found = list(verify(tmp_path))
    assert [(damage.path, damage.dropped) for damage in found] == [(first, True), (second, True)]
    assert "checksum" in found[0].reason
    assert not stale.exists()
    assert fresh.exists()
    assert list(verify(tmp_path)) == []
    assert list_spaces(tmp_path)[0].texts == 2
