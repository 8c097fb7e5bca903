"""Tars of captioned images: what rows they give, wherever they lie, and what is said of those that are not whole."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from clipbench.data import Dataset, HubTable, open_source, remote
from clipbench.data.location import parse_location
from clipbench.data.shards import expand_braces
from clipbench.errors import DataError
from clipbench.types import Row
from tests.data.http_server import serve
from tests.data.tar_shards import captioned, picture, tar_bytes, write_tar

CAPTIONS = ["a red cat", "a blue dog", "a green boat", "a white bird", "a brown horse"]


@pytest.fixture(autouse=True)
def own_tar_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path_factory.mktemp("tars")
    monkeypatch.setenv("CLIPBENCH_CACHE", str(cache))
    monkeypatch.setattr(remote, "_PAUSE", 0.0)
    return cache


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two tars, of three and of two samples."""
    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / "part-9.tar").write_bytes(captioned(CAPTIONS[:3]))
    (folder / "part-10.tar").write_bytes(captioned(CAPTIONS[3:], first=3))
    return folder


def opened(location: object, dataset: Dataset | None = None) -> Any:
    return open_source(*parse_location(dataset or Dataset("mine", None), str(location)))


def rows(location: object, dataset: Dataset | None = None) -> list[Row]:
    return list(opened(location, dataset).rows())


def texts(location: object) -> list[tuple[str, ...]]:
    return [row.captions for row in rows(location)]


def pixels(row: Row) -> Any:
    return np.asarray(row.images[0].open())


def assert_the_five(found: list[Row]) -> None:
    assert [row.captions for row in found] == [(caption,) for caption in CAPTIONS]
    for number, row in enumerate(found):
        expected = np.asarray(Image.open(io.BytesIO(picture(number))).convert("RGB"))
        assert np.array_equal(pixels(row), expected)


def test_tars_are_named_by_folder_pattern_range_and_list(shards: Path) -> None:
    nine, ten = shards / "part-9.tar", shards / "part-10.tar"
    for location in (
        shards,
        f"{shards}/part-{{9..10}}.tar",
        f"{shards}/part-{{9,10}}.tar",
        f"{shards}/part-*.tar",
        f"{nine}::{ten}",
    ):
        found = rows(location)
        assert_the_five(found)
        assert [row.id for row in found][2:4] == ["part-9.tar/000000002", "part-10.tar/000000003"]
    assert texts(nine) == [(caption,) for caption in CAPTIONS[:3]]
    assert texts(f"{shards}/part-?.tar") == texts(nine)


def test_braces_expand_as_in_a_shell() -> None:
    assert expand_braces("{a,b}-{08..10}") == ["a-08", "a-09", "a-10", "b-08", "b-09", "b-10"]
    assert expand_braces("{2..0}") == ["2", "1", "0"]
    assert expand_braces("{a}{}") == ["{a}{}"]
    with pytest.raises(DataError, match="more than 1,000,000 tars"):
        expand_braces("{0..999}{0..9999}")


def test_a_split_is_a_folder_of_tars(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    shards.rename(tmp_path / "set/train")
    write_tar(tmp_path / "set/test/0.tar", {"a.jpg": picture(9), "a.txt": b"a gray cat"})
    source = opened(tmp_path / "set")
    assert [row.captions for row in source.rows()] == [("a gray cat",)]
    assert "not used: train" in source.provenance.details["problem"]
    assert_the_five(rows(f"{tmp_path / 'set'}?split=train"))


def test_tars_at_any_url_of_fsspec(shards: Path) -> None:
    memory = fsspec.filesystem("memory")
    for file in shards.iterdir():
        memory.pipe(f"/tars/{file.name}", file.read_bytes())
    try:
        for location in ("memory://tars", "memory://tars/part-{9..10}.tar", "memory://tars/part-*.tar"):
            assert_the_five(rows(location))
        assert opened("memory://tars").provenance.fingerprint == opened(shards).provenance.fingerprint
    finally:
        memory.rm("/tars", recursive=True)


@pytest.mark.parametrize("ranges", [True, False])
def test_tars_on_a_web_server(shards: Path, ranges: bool) -> None:
    with serve({file.name: file.read_bytes() for file in shards.iterdir()}, ranges=ranges) as (address, asked):
        location = f"{address}/part-{{9..10}}.tar?signature=SECRET"
        source = opened(location)
        found = list(source.rows(keep=lambda captions: "dog" in captions[0]))
        before = len(asked)
        assert pixels(found[0]).shape == (41, 36, 3)
        assert len(asked) - before == ranges  # one part; or none, of a copy
        assert_the_five(list(source.rows()))
        once = asked.count("all")
        assert_the_five(rows(location))
        assert asked.count("all") == once  # what was found is kept
    assert "SECRET" not in str(source.provenance)
    assert source.provenance.fingerprint == opened(shards).provenance.fingerprint


def test_a_connection_that_breaks_is_tried_again(shards: Path) -> None:
    with serve({"a.tar": (shards / "part-9.tar").read_bytes()}, faults=2) as (address, _):
        assert len(rows(f"{address}/a.tar")) == 3


def test_a_refusal_names_the_url_without_its_secrets(shards: Path) -> None:
    with serve({}, refused={"mine.tar": 403}) as (address, _):
        user = address.replace("//", "//me:PASSWORD@")
        for name, message in (("mine.tar", "not allowed (HTTP 403"), ("none.tar", "no such file (HTTP 404")):
            with pytest.raises(DataError) as error:
                rows(f"{address}/{name}?key=SECRET")
            assert str(error.value).startswith(f"{address}/{name}: {message}")
        with pytest.raises(DataError, match=r"no list of files: name the tars, as in \{00000\.\.00041\}\.tar"):
            rows(f"{address}/")
        with pytest.raises(DataError) as error:
            rows(f"{user}/none.tar")
        assert "PASSWORD" not in str(error.value)


def test_schemes_without_their_package_or_unknown_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(
        DataError, match=r"s3://bucket/a\.tar: s3:// needs a package that is not installed: pip install s3fs"
    ):
        rows("s3://bucket/{a,b}.tar")
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"nosuch://bucket/a\.tar: .*nosuch"):
        rows("nosuch://bucket/a.tar")
    with pytest.raises(DataError, match="pipe: is a command, which is not run"):
        rows("pipe:cat a.tar")


def test_samples_may_hold_several_captions_in_any_of_the_usual_forms(tmp_path: Path) -> None:
    files = {
        "in.dots/a.v1.txt": b"not a caption: its name is v1.txt",
        "in.dots/a.jpg": picture(0, "JPEG"),
        "in.dots/a.txt": b"a red cat\na cat in red\n",
        "in.dots/a.json": json.dumps({"caption": "not used: .txt comes first"}).encode(),
        "b.webp": picture(1, "WEBP"),
        "b.json": json.dumps({"captions": ["a blue dog", "a dog in blue"], "width": 3}).encode(),
        "c.PNG": picture(2),
        "c.caption": "a café".encode(),
        "d.jpeg": picture(3, "JPEG"),
        "d.json": json.dumps(["one", {"raw": "two"}]).encode(),
        "e.png": picture(4),
        "e.json": json.dumps({"text": "a text"}).encode(),
    }
    found = rows(write_tar(tmp_path / "a.tar", files))
    assert [row.captions for row in found] == [
        ("a red cat", "a cat in red"), ("a blue dog", "a dog in blue"), ("a café",), ("one", "two"), ("a text",)
    ]  # fmt: skip
    assert [row.images[0].key for row in found][:3] == ["a.tar/in.dots/a.jpg", "a.tar/b.webp", "a.tar/c.png"]
    assert np.array_equal(pixels(found[1]), np.asarray(Image.open(io.BytesIO(picture(1, "WEBP")))))


def test_members_and_json_keys_can_be_named(tmp_path: Path) -> None:
    meta = {"alt": "right", "foil": ["wrong", "worse"], "kind": "color"}
    files = {"a.0.png": picture(0), "a.1.png": picture(1), "a.txt": b"no", "a.json": json.dumps(meta).encode()}
    location = f"{write_tar(tmp_path / 'a.tar', files)}?images=1.png&captions=alt&false_captions=foil&fields=kind"
    (row,) = opened(location).rows(where={"kind": "color"})
    assert (row.captions, row.false_captions, row.fields) == (("right",), ("wrong", "worse"), {"kind": "color"})
    assert pixels(row).shape[0] == 41
    with pytest.raises(DataError, match=r"no sample has foils; there are: .*json: foil"):
        rows(f"{tmp_path / 'a.tar'}?images=1.png&captions=foils")
    with pytest.raises(DataError, match=r"sample a has several images \(0\.png, 1\.png\): name one"):
        rows(tmp_path / "a.tar")


def test_img2dataset_as_tars(tmp_path: Path) -> None:
    folder = tmp_path / "laion"
    meta = json.dumps({"caption": "a red cat\nwith a hat", "url": "https://…", "status": "success"}).encode()
    write_tar(
        folder / "00000.tar",
        {"000000000.jpg": picture(0, "JPEG"), "000000000.txt": b"a red cat\nwith a hat", "000000000.json": meta},
    )
    (folder / "00000.parquet").write_bytes(b"the list of URLs")
    (folder / "00000_stats.json").write_text(json.dumps({"count": 3, "successes": 1}))
    source = opened(folder)
    assert [row.captions for row in source.rows()] == [("a red cat\nwith a hat",)]
    assert source.provenance.layout == "img2dataset"
    assert "2 of 3 images could not be downloaded" in source.provenance.details["problem"]


def test_a_tar_beside_a_table_is_left_alone(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,caption\na.png,a black square\n")
    write_tar(tmp_path / "images.tar", {"a.png": picture(0)})
    assert texts(tmp_path) == [("a black square",)]


def whole_samples(content: bytes, size: int) -> int:
    """How many samples of image and caption lie before ``size``, counted from the headers."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        ends = [member.offset_data + member.size for member in tar]
    return sum(end <= size for end in ends[1::2])


def test_a_tar_cut_anywhere_gives_its_whole_samples_and_says_so(shards: Path) -> None:
    content = (shards / "part-9.tar").read_bytes()
    data = max(number for number in range(len(content)) if content[number])
    cut = shards / "part-9.tar"
    seen = set()
    for size in range(7, data, 511):
        cut.write_bytes(content[:size])
        source = opened(shards)
        n = whole_samples(content, size)
        seen.add(n)
        assert [row.captions[0] for row in source.rows()] == CAPTIONS[:n] + CAPTIONS[3:], size
        samples = "1 whole sample" if n == 1 else f"{n} whole samples"
        assert source.provenance.details["gap"] == f"part-9.tar is cut off: {samples}", size
    assert seen == {0, 1, 2}


def test_a_damaged_header_does_not_end_a_tar_in_silence(shards: Path) -> None:
    content = bytearray((shards / "part-9.tar").read_bytes())
    second = content.index(b"000000001.png")
    content[second : second + 4] = b"9999"
    (shards / "part-9.tar").write_bytes(content)
    assert opened(shards).provenance.details["gap"] == f"part-9.tar is damaged at byte {second:,}: 1 whole sample"


def test_tars_without_what_is_needed_are_refused(tmp_path: Path) -> None:
    cases = {
        "empty": (b"", r"no sample with a caption \(one is empty \(0 bytes\)\)"),
        "hollow": (tar_bytes({}), "no sample with a caption: .* found no files"),
        "mute": (tar_bytes({"a.jpg": picture(0), "a.cls": b"1"}), r"looked for \.txt, .* found jpg, cls"),
        "noise": (b"<html>not found</html>" * 99, "not a tar"),
        "twice": (tar_bytes([("a.png", b"1"), ("a.png", b"2")]), r"two files a\.png"),
        "apart": (tar_bytes([("a.txt", b"x"), ("b.txt", b"y"), ("a.png", b"1")]), "two samples with the key a"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / f"{name}.tar").write_bytes(content)
        with pytest.raises(DataError, match=message) as error:
            rows(tmp_path / f"{name}.tar")
        assert f"{name}.tar" in str(error.value)
    with pytest.raises(DataError, match=r"none\.tar: no such file"):
        rows(tmp_path / "none.tar")
    with pytest.raises(DataError, match=r"names .*mute\.tar twice"):
        rows(f"{tmp_path}/mute.tar::{tmp_path}/mute.tar")
    with pytest.raises(DataError, match="no tar found"):
        rows(f"{tmp_path}/none-*.tar")


def test_what_is_wrong_with_samples_is_counted(tmp_path: Path) -> None:
    files = {
        "good.png": picture(0),
        "good.txt": b"good",
        "lone.txt": b"no image",
        "mute.png": picture(1),
        "bad.png": picture(2),
        "bad.json": b"{",
        "odd.png": picture(3),
        "odd.json": b'{"caption": 3}',
        "latin.png": picture(4),
        "latin.txt": "café".encode("latin-1"),
    }
    write_tar(tmp_path / "s/0.tar", files)
    write_tar(tmp_path / "s/1.tar", {"good.png": picture(0), "good.txt": b"again"})
    write_tar(tmp_path / "s/2.tar", {})
    source = opened(tmp_path / "s")
    found = list(source.rows())
    assert [row.captions[0] for row in found] == ["good", "no image", "café", "again"]
    assert [row.images[0].missing for row in found] == [False, True, False, False]
    problem, gap = source.provenance.details["problem"], source.provenance.details["gap"]
    assert "1 image without a caption not used" in problem
    assert "1 text read as Windows-1252" in problem
    assert "1 sample there twice" in problem
    assert "no sample with a caption in 2.tar" in problem
    assert "2 samples of 0.tar cannot be read" in gap
    assert "bad.json is not JSON" in gap


def test_a_tar_that_changes_while_it_is_used_is_noticed_and_read_again(shards: Path) -> None:
    found = rows(shards)
    (shards / "part-9.tar").write_bytes(captioned(CAPTIONS[:3], first=10))
    with pytest.raises(DataError, match="has changed while it was in use"):
        found[0].images[0].open()
    assert pixels(rows(shards)[0]).shape == (40 + 10 % 7, 36, 3)


def test_columns_of_the_hub_are_not_those_of_tars(shards: Path) -> None:
    hub = HubTable("me/coco", "main", "test", images=("image",), captions=("sentences",))
    assert_the_five(rows(shards, Dataset("coco", hub, layouts=("coco",))))
