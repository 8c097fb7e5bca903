from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from clipbench.data import Dataset, Source, open_source
from clipbench.errors import DataError
from clipbench.types import Row
from tests.data.builders import picture

FLICKR = Dataset("flickr30k", None, layouts=("flickr30k",))
SBU = Dataset("sbu", None, layouts=("sbu",), instructions="put sbu-captions-all.json beside images/")
FASHION = Dataset("fashion200k", None, layouts=("fashion200k",))


def read(source: Source) -> list[tuple[str, tuple[str, ...], str, bool]]:
    return [(row.id, row.captions, row.images[0].key, row.images[0].missing) for row in source.rows()]


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- Flickr30k

TOKENS = "1.jpg#0\tA dog .\n1.jpg#1\tA red dog # 2 .\n2.jpg#0\tA cat .\n3.jpg#0\tNobody\u2028home .\n"
SPLIT = {
    "images": [
        {"filename": "3.jpg", "split": "test", "sentences": [{"raw": "Nobody\u2028home ."}]},
        {
            "filename": "1.jpg",
            "split": "train",
            "sentences": [{"raw": "A dog ."}, {"raw": "A red dog # 2 ."}],
        },
    ]
}


@pytest.mark.parametrize("images", ["flickr30k-images", "flickr30k_images", "images"])
def test_flickr30k_token_file(tmp_path: Path, images: str) -> None:
    write(tmp_path / "results_20130124.token", TOKENS)
    write(tmp_path / images / "1.jpg", picture())
    source = open_source(FLICKR, str(tmp_path))
    assert read(source) == [
        ("1.jpg", ("A dog .", "A red dog # 2 ."), "1.jpg", False),
        ("2.jpg", ("A cat .",), "2.jpg", True),
        ("3.jpg", ("Nobody\u2028home .",), "3.jpg", True),
    ]
    assert "every image is used (3 in all)" in source.provenance.details["problem"]


def test_flickr30k_is_cut_to_karpathys_split_where_that_is_there(tmp_path: Path) -> None:
    write(tmp_path / "results_20130124.token", TOKENS)
    write(tmp_path / "dataset_flickr30k.json", json.dumps(SPLIT))
    source = open_source(FLICKR, str(tmp_path))
    assert [row.id for row in source.rows()] == ["1.jpg", "3.jpg"]
    assert "problem" not in source.provenance.details
    assert source.provenance.fingerprint.count("sha256") == 2


def test_flickr30k_karpathys_file_does_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "dataset_flickr30k.json", json.dumps(SPLIT))
    for place in (tmp_path, path):
        rows = list(open_source(FLICKR, str(place)).rows())
        assert [(row.id, len(row.captions)) for row in rows] == [("3.jpg", 1), ("1.jpg", 2)]


def test_flickr30k_broken_line_and_file(tmp_path: Path) -> None:
    write(tmp_path / "results_20130124.token", "1.jpg#0\tA dog .\n1.jpg#1 A dog .\n")
    with pytest.raises(DataError, match=r"results_20130124\.token, line 2: expected NAME\.jpg#k<TAB>caption"):
        open_source(FLICKR, str(tmp_path))
    write(tmp_path / "results_20130124.token", b"1.jpg#0\tA caf\xe9 .\n")
    with pytest.raises(DataError, match=r"not UTF-8 text"):
        open_source(FLICKR, str(tmp_path))
    path = write(tmp_path / "dataset_flickr30k.json", '{"images": [{"filename": "1.jpg"}]}')
    with pytest.raises(DataError, match="not Karpathy's format"):
        open_source(FLICKR, str(path))


# --- SBU

URLS = [f"http://static.flickr.com/27{n}/438505{n}_b0f2.jpg" for n in range(3)]
CAPTIONS = ["a red car", "", "under the bridge"]


def write_sbu_json(folder: Path, urls: Sequence[str] = URLS, captions: Sequence[object] = CAPTIONS) -> Path:
    content = {"image_urls": list(urls), "user_ids": ["u"] * len(urls), "captions": list(captions)}
    return write(folder / "sbu-captions-all.json", json.dumps(content))


@pytest.mark.parametrize(
    ("names", "naming"),
    [
        (["438505{n}_b0f2.jpg"], "last part of the URL"),
        (["27{n}/438505{n}_b0f2.jpg"], "path of the URL"),
        (["{n:07d}.jpg"], "row number, 7 digits"),
        (["{n}.jpg"], "row number"),
        (["00000/{n:09d}.jpg"], "img2dataset"),
    ],
)
@pytest.mark.parametrize("folder", [".", "images"])
def test_sbu_finds_out_how_the_images_are_named(tmp_path: Path, names: list[str], naming: str, folder: str) -> None:
    write_sbu_json(tmp_path)
    for n in (0, 2):
        write(tmp_path / folder / names[0].format(n=n), picture((n, 0, 0)))
    source = open_source(SBU, str(tmp_path))
    rows = list(source.rows())
    assert [(row.id, row.captions, row.images[0].missing) for row in rows] == [
        ("0", ("a red car",), False),
        ("1", ("",), True),
        ("2", ("under the bridge",), False),
    ]
    assert rows[2].images[0].open().getpixel((0, 0)) == (2, 0, 0)
    assert source.provenance.details["naming"] == naming


def test_sbu_files_left_empty_by_a_downloader_are_missing(tmp_path: Path) -> None:
    write_sbu_json(tmp_path)
    write(tmp_path / "0000000.jpg", picture())
    write(tmp_path / "0000001.jpg", b"")
    assert [missing for *_, missing in read(open_source(SBU, str(tmp_path)))] == [False, True, True]


def test_sbu_parallel_text_files_keep_step_over_empty_captions(tmp_path: Path) -> None:
    write(tmp_path / "dataset/SBU_captioned_photo_dataset_urls.txt", "\n".join(URLS) + "\n")
    captions = write(tmp_path / "dataset/SBU_captioned_photo_dataset_captions.txt", "\n".join(CAPTIONS) + "\n")
    source = open_source(SBU, str(tmp_path))
    assert [row.captions[0] for row in source.rows()] == CAPTIONS
    captions.write_text("a red car\n")
    with pytest.raises(DataError, match="differ in length: 3 URLs, 1 caption$"):
        open_source(SBU, str(tmp_path))


def test_sbu_broken_files(tmp_path: Path) -> None:
    write_sbu_json(tmp_path, captions=CAPTIONS[:2])
    with pytest.raises(DataError, match="differ in length: 3 URLs, 2 captions"):
        open_source(SBU, str(tmp_path))
    write_sbu_json(tmp_path, captions=["a", None, "c"])
    with pytest.raises(DataError, match="row 1: expected two texts"):
        open_source(SBU, str(tmp_path))
    write(tmp_path / "sbu-captions-all.json", '{"image_urls": []}')
    with pytest.raises(DataError, match="'captions' is missing"):
        open_source(SBU, str(tmp_path))
    write(tmp_path / "sbu-captions-all.json", '{"image_urls"')
    with pytest.raises(DataError, match="not JSON, or truncated"):
        open_source(SBU, str(tmp_path))


def test_sbu_has_no_home_and_says_what_to_bring() -> None:
    with pytest.raises(DataError) as caught:
        open_source(SBU)
    assert str(caught.value) == (
        "dataset sbu is not hosted on the Hugging Face Hub; or get a local copy: put"
        " sbu-captions-all.json beside images/; to use a local copy, give `data` sbu=PATH"
    )


# --- Fashion200K

DRESS = "women/dresses/day/51/51_0.jpeg\t0.829\tblue dress\nwomen/dresses/day/51/51_1.jpeg\t0.7\tblue dress\n"


@pytest.mark.parametrize("place", ["", "labels"])
def test_fashion200k(tmp_path: Path, place: str) -> None:
    write(tmp_path / "labels/dress_train_detect_all.txt", DRESS)
    write(tmp_path / "labels/dress_test_detect_all.txt", "women/dresses/x/9/9_0.jpeg\t0.5\tred gown\n")
    write(tmp_path / "women/dresses/day/51/51_0.jpeg", picture())
    assert read(open_source(FASHION, str(tmp_path / place))) == [
        ("women/dresses/x/9/9_0.jpeg", ("red gown",), "women/dresses/x/9/9_0.jpeg", True),
        ("women/dresses/day/51/51_0.jpeg", ("blue dress",), "women/dresses/day/51/51_0.jpeg", False),
        ("women/dresses/day/51/51_1.jpeg", ("blue dress",), "women/dresses/day/51/51_1.jpeg", True),
    ]


def test_fashion200k_broken_line(tmp_path: Path) -> None:
    write(tmp_path / "dress_train_detect_all.txt", DRESS + "women/dresses/2.jpeg blue\n")
    rows = open_source(FASHION, str(tmp_path)).rows()
    assert isinstance(next(rows), Row)
    with pytest.raises(DataError, match=r"dress_train_detect_all\.txt, line 3: expected path<TAB>score<TAB>text"):
        list(rows)


# --- no layout fits


def test_an_unknown_layout_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "notes.md", "hello")
    with pytest.raises(DataError) as caught:
        open_source(FLICKR, str(tmp_path))
    message = str(caught.value)
    assert "results_20130124.token" in message
    assert "a .parquet, .csv, .tsv, .jsonl or .json file" in message
    assert message.endswith("found notes.md")
    with pytest.raises(DataError, match=r"found a file notes\.md of 5 bytes$"):
        open_source(FLICKR, str(tmp_path / "notes.md"))
    with pytest.raises(DataError, match="found an empty folder$"):
        open_source(FLICKR, str(write(tmp_path / "empty/x", "").parent.joinpath("x").unlink() or tmp_path / "empty"))


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dataset flickr30k: no such file or folder: .*nowhere"):
        open_source(FLICKR, str(tmp_path / "nowhere"))


def test_a_users_dataset_without_layouts_may_have_any(tmp_path: Path) -> None:
    write(tmp_path / "labels/dress_train_detect_all.txt", DRESS)
    assert open_source(Dataset("mine", None), str(tmp_path)).provenance.layout == "fashion200k"
    with pytest.raises(DataError, match="no layout 'coca'; layouts are: coco, flickr30k, sbu, fashion200k"):
        open_source(Dataset("mine", None, layouts=("coca",)), str(tmp_path))
