"""Minings from start to end: the same output however it is divided, interrupted or distributed."""

import ast
import csv
import json
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipbench.concepts import load_concept
from clipbench.errors import ConfigError, DataError, ResultError
from clipbench.mining import pieces
from clipbench.mining.options import MiningOptions
from clipbench.mining.run import mine
from tests.mining.conftest import captions_of


def mined(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("mined-*"))}


def rows_of(folder):
    return [row for path in sorted(folder.glob("mined-*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_rows_keep_their_columns_and_gain_keyword_and_negatives(shards, tmp_path):
    statistics = mine(MiningOptions((str(shards),), "color", tmp_path / "out", negatives=2, processes=1))
    rows = rows_of(tmp_path / "out")
    expected = [
        (f"https://example.org/{shard}/{row}.jpg", row, caption)
        for shard in range(4)
        for row, caption in enumerate(captions_of(shard, 30))
        if row % 3 == 0
    ]
    assert [(row["URL"], row["WIDTH"], row["TEXT"]) for row in rows] == expected
    for row in rows:
        variants = load_concept("color").variants(row["TEXT"])
        assert row["keyword"] == variants.keyword
        assert len(set(row["neg_caption"])) == 2
        assert set(row["neg_caption"]) <= set(variants[1:])
    assert statistics["mined"] == 40
    assert statistics["captions"] == 120
    assert json.loads((tmp_path / "out" / "statistics.json").read_text()) == statistics


@pytest.mark.parametrize("rows", [1, 20, 10**6])
def test_output_does_not_depend_on_processes_or_pieces(shards, tmp_path, monkeypatch, rows):
    mine(MiningOptions((str(shards),), "color", tmp_path / "whole", processes=1))
    monkeypatch.setattr(pieces, "_ROWS", rows)
    mine(MiningOptions((str(shards),), "color", tmp_path / "cut", processes=2))
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "whole")
    assert (tmp_path / "cut" / "statistics.json").read_bytes() == (tmp_path / "whole" / "statistics.json").read_bytes()


def test_tsv_is_as_negclip_and_open_clip_read_it(shards, tmp_path):
    mine(MiningOptions((str(shards),), "color", tmp_path / "out", output_format="tsv", processes=1))
    with (tmp_path / "out" / "mined-00000.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert list(rows[0]) == ["filepath", "title", "neg_caption"]
    assert rows[1]["filepath"] == "https://example.org/0/3.jpg"
    assert rows[1]["title"] == captions_of(0, 30)[3]
    negatives = ast.literal_eval(rows[1]["neg_caption"])
    assert len(negatives) == 3
    assert set(negatives) <= set(load_concept("color").variants(rows[1]["title"])[1:])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cc3m.tsv", 'a red "bird" sat\thttps://example.org/1.jpg\n"quoted blue\thttps://example.org/2.jpg\n'),
        ("table.tsv", 'title\tfilepath\n"a red ""bird"" sat"\thttps://example.org/1.jpg\n"""quoted blue"\tb.jpg\n'),
        ("table.csv", 'caption,url\n"a red ""bird"" sat",https://example.org/1.jpg\n"""quoted blue",b.jpg\n'),
    ],
)
def test_delimited_shards_with_and_without_a_header(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    mine(MiningOptions((str(tmp_path / name),), "color", tmp_path / "out", processes=1))
    rows = rows_of(tmp_path / "out")
    captions = [row.get("caption") or row.get("title") for row in rows]
    assert captions == ['a red "bird" sat', '"quoted blue']
    assert (rows[0].get("url") or rows[0].get("filepath")) == "https://example.org/1.jpg"


def test_an_unfinished_mining_goes_on(shards, tmp_path):
    options = MiningOptions((str(shards),), "color", tmp_path / "out", processes=1)
    seen = []

    def stop(stage, done, total):
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine(options, stop)
    first = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("mined-*")}
    assert len(first) == 2
    notes = []
    mine(options, on_note=notes.append)
    assert notes == ["2 of 4 pieces are done already"]
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == at for name, at in first.items())
    mine(MiningOptions((str(shards),), "color", tmp_path / "once", processes=1))
    assert mined(tmp_path / "out") == mined(tmp_path / "once")


def test_a_killed_mining_goes_on(shards, tmp_path):
    command = [sys.executable, "-m", "clipbench", "mine", str(shards), "--concept", "color", "--num_proc", "1"]
    for delay in (0.6, 0.9):
        process = subprocess.Popen([*command, "-o", tmp_path / "out"], stderr=subprocess.DEVNULL, stdout=-3)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "-o", tmp_path / "out"], check=True, capture_output=True)
    mine(MiningOptions((str(shards),), "color", tmp_path / "once", processes=1))
    assert mined(tmp_path / "out") == mined(tmp_path / "once")
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_removed_output_is_mined_again(shards, tmp_path):
    options = MiningOptions((str(shards),), "color", tmp_path / "out", processes=1)
    mine(options)
    before = mined(tmp_path / "out")
    (tmp_path / "out" / "mined-00001.parquet").unlink()
    mine(options)
    assert mined(tmp_path / "out") == before


def test_another_mining_in_the_folder_is_refused(shards, tmp_path):
    mine(MiningOptions((str(shards),), "color", tmp_path / "out", processes=1))
    with pytest.raises(ConfigError, match=r"holds another mining \(concept, replacements differ\)"):
        mine(MiningOptions((str(shards),), "size", tmp_path / "out", processes=1))


def test_faults_are_named(tmp_path):
    def refused(name, kind, match, **options):
        with pytest.raises(kind, match=match):
            mine(MiningOptions((str(tmp_path / name),), "color", tmp_path / "out", processes=1, **options))

    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but not really")
    refused("broken.parquet", DataError, r"broken\.parquet: cannot be read")
    pq.write_table(pa.table({"text": ["a red bird"], "neg_caption": ["x"]}), tmp_path / "again.parquet")
    refused("again.parquet", DataError, "has a column neg_caption already")
    pq.write_table(pa.table({"words": ["a red bird"], "n": [1]}), tmp_path / "other.parquet")
    refused("other.parquet", DataError, r"found no caption column.*caption_column")
    refused("other.parquet", DataError, r"column n holds int64", caption_column="n")
    refused("other.parquet", DataError, r"no column 'word'.*did you mean words", caption_column="word")
    refused("other.parquet", DataError, "tsv needs a column", caption_column="words", output_format="tsv")
    (tmp_path / "empty.tsv").write_text("")
    refused("empty.tsv", DataError, "empty.tsv: the table is empty")
    (tmp_path / "none.tsv").write_text("caption\turl\nno color\thttp://x\n")
    with pytest.raises(DataError, match="no caption of 1 contains a keyword of color"):
        mine(MiningOptions((str(tmp_path / "none.tsv"),), "color", tmp_path / "none", processes=1))
    (tmp_path / "image.jpg").write_bytes(b"")
    refused("image.jpg", ConfigError, r"give \.parquet, \.tsv, \.csv or \.tar")
    refused("absent.parquet", DataError, "no such file")


def test_a_fault_on_another_process_is_the_same_line(shards, tmp_path):
    pq.write_table(pa.table({"words": ["a red bird"]}), shards / "part-00009.parquet")
    with pytest.raises(DataError, match=r"part-00009\.parquet: found no caption column"):
        mine(MiningOptions((str(shards),), "color", tmp_path / "out", processes=2))
    assert not (tmp_path / "out" / "statistics.json").exists()


def test_ray_gives_the_same_bytes(shards, tmp_path):
    ray = pytest.importorskip("ray", reason="Ray (clipbench[ray]) is not installed")
    ray.init(num_cpus=2, log_to_driver=False, logging_level="error", include_dashboard=False)
    try:
        mine(MiningOptions((str(shards),), "color", tmp_path / "ray", ray=True))
        mine(MiningOptions((str(shards),), "color", tmp_path / "here", processes=2))
        assert mined(tmp_path / "ray") == mined(tmp_path / "here")
        pq.write_table(pa.table({"words": ["a red bird"]}), shards / "part-00009.parquet")
        with pytest.raises(DataError, match=r"part-00009\.parquet: found no caption column"):
            mine(MiningOptions((str(shards),), "color", tmp_path / "fault", ray=True))
    finally:
        ray.shutdown()


def test_no_cluster_at_the_address(shards, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray (clipbench[ray]) is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"ray: no cluster at RAY_ADDRESS 127\.0\.0\.1:1"):
        mine(MiningOptions((str(shards),), "color", tmp_path / "out", ray=True))


def test_without_ray(shards, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r'pip install "clipbench\[ray\]"'):
        mine(MiningOptions((str(shards),), "color", tmp_path / "out", ray=True))


def test_a_damaged_record_is_named(shards, tmp_path):
    options = MiningOptions((str(shards),), "color", tmp_path / "out", processes=1)
    mine(options)
    (tmp_path / "out" / "pieces" / "00002.json").write_text("{")
    with pytest.raises(ResultError, match=r"00002\.json: not a record of mining"):
        mine(options)
