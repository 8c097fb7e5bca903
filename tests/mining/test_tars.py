"""Mining of WebDataset tars: whole samples, readable by training; cut and damaged ones."""

import json
import tarfile

import fsspec
import pytest

from clipbench.concepts import load_concept
from clipbench.data import open_source
from clipbench.data.dataset import Dataset
from clipbench.errors import DataError
from clipbench.mining.options import MiningOptions
from clipbench.mining.run import mine
from tests.data.tar_shards import write_tar
from tests.mining.conftest import captions_of


def options(location, out, **fields):
    return MiningOptions((str(location),), "color", out, processes=1, **fields)


def sample(number, caption, **data):
    files = [(f"a/{number:05d}.jpg", b"picture %d" % number), (f"a/{number:05d}.txt", caption.encode())]
    return [*files, (f"a/{number:05d}.json", json.dumps(data).encode())] if data else files


@pytest.fixture
def tars(tmp_path):
    folder = tmp_path / "tars"
    folder.mkdir()
    for shard in range(2):
        files = [
            file
            for row, text in enumerate(captions_of(shard, 12))
            for file in sample(100 * shard + row, text, **({"url": f"u{row}"} if row % 2 else {}))
        ]
        write_tar(folder / f"{shard:05d}.tar", files)
    return folder


def contents(path):
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def test_samples_stay_whole_and_gain_negatives(tars, tmp_path):
    statistics = mine(options(tars, tmp_path / "out", negatives=2))
    assert (statistics["captions"], statistics["mined"]) == (24, 8)
    for shard in range(2):
        found = contents(tmp_path / "out" / f"mined-{shard:05d}.tar")
        texts = captions_of(shard, 12)
        assert {name for name in found if name.endswith(".jpg")} == {
            f"a/{100 * shard + row:05d}.jpg" for row in range(0, 12, 3)
        }
        for row in range(0, 12, 3):
            stem = f"a/{100 * shard + row:05d}"
            assert found[f"{stem}.jpg"] == b"picture %d" % (100 * shard + row)
            assert found[f"{stem}.txt"].decode() == texts[row]
            data = json.loads(found[f"{stem}.json"])
            variants = load_concept("color").variants(texts[row])
            assert data["keyword"] == variants.keyword
            assert len(set(data["neg_caption"])) == 2
            assert set(data["neg_caption"]) <= set(variants[1:])
            assert data.get("url") == (f"u{row}" if row % 2 else None)


def test_what_is_written_is_read_as_a_source(tars, tmp_path):
    mine(options(tars, tmp_path / "out"))
    rows = list(open_source(Dataset("mined", None), str(tmp_path / "out")).rows())
    assert [row.captions for row in rows] == [
        (text,) for shard in range(2) for row, text in enumerate(captions_of(shard, 12)) if row % 3 == 0
    ]


def test_the_same_captions_have_the_same_negatives_in_a_table(tars, tmp_path):
    mine(options(tars, tmp_path / "out"))
    lines = [f"{text}\thttp://x/{row}" for shard in range(2) for row, text in enumerate(captions_of(shard, 12))]
    (tmp_path / "table.tsv").write_text("\n".join(["caption\turl", *lines]) + "\n")
    mine(options(tmp_path / "table.tsv", tmp_path / "table"))
    table = {row["caption"]: row["neg_caption"] for row in _rows(tmp_path / "table" / "mined-00000.parquet")}
    for shard in range(2):
        found = contents(tmp_path / "out" / f"mined-{shard:05d}.tar")
        for name in (name for name in found if name.endswith(".txt")):
            data = json.loads(found[name.replace(".txt", ".json")])
            assert table[found[name].decode()] == data["neg_caption"]


def _rows(path):
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def test_of_several_captions_the_first_with_a_keyword_is_kept(tmp_path):
    files = sample(1, "No color here.\nA red bird.\nA blue bird.")
    write_tar(tmp_path / "one.tar", files)
    statistics = mine(options(tmp_path / "one.tar", tmp_path / "out"))
    found = contents(tmp_path / "out" / "mined-00000.tar")
    assert found["a/00001.txt"] == b"A red bird."
    assert json.loads(found["a/00001.json"])["keyword"] == "red"
    assert statistics["captions"] == 3


def test_a_tar_that_is_cut_off_gives_its_whole_samples(tars, tmp_path):
    path = tars / "00000.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    notes = []
    statistics = mine(options(tars, tmp_path / "out"), on_note=notes.append)
    assert statistics["mined"] < 8
    assert len(notes) == 1
    assert "00000.tar: cut off: " in notes[0]
    assert "whole samples" in notes[0]


def test_captions_that_cannot_be_read_are_counted(tmp_path):
    write_tar(tmp_path / "one.tar", [*sample(1, "A red bird."), ("a/00002.jpg", b"x"), ("a/00002.json", b"{")])
    notes = []
    statistics = mine(options(tmp_path / "one.tar", tmp_path / "out"), on_note=notes.append)
    assert (statistics["mined"], statistics["unreadable"]) == (1, 1)
    assert "one.tar: " in notes[0]


def test_fields_that_are_there_already_are_refused(tmp_path):
    write_tar(tmp_path / "one.tar", sample(1, "A red bird.", neg_caption=["x"]))
    with pytest.raises(DataError, match=r"a/00001\.json: it has neg_caption already: rename it"):
        mine(options(tmp_path / "one.tar", tmp_path / "out"))


def test_shards_at_urls(tars, shards, tmp_path):
    for path in (*tars.glob("*.tar"), *shards.glob("*.parquet")):
        with fsspec.open(f"memory://mining/{path.name}", "wb") as file:
            file.write(path.read_bytes())
    for pattern, local, kind in [
        ("memory://mining/{00000..00001}.tar", tars, "tar"),
        ("memory://mining/*.parquet", shards, "parquet"),
    ]:
        mine(options(pattern, tmp_path / f"far-{kind}"))
        mine(options(local, tmp_path / f"near-{kind}"))
        far, near = (
            [path.read_bytes() for path in sorted((tmp_path / f"{place}-{kind}").glob("mined-*"))]
            for place in ("far", "near")
        )
        assert far == near
        assert far
    with pytest.raises(DataError, match=r"memory://mining/absent\.parquet: no such file"):
        mine(options("memory://mining/absent.parquet", tmp_path / "absent"))
