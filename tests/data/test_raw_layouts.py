from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from clipbench.data import Dataset, Source, open_source
from clipbench.data.location import parse_location
from clipbench.errors import DataError
from clipbench.task_types.registry import select_tasks
from clipbench.training.datasets import open_training_data
from clipbench.types import Row
from tests.data.builders import picture

FLICKR = Dataset("flickr30k", None, layouts=("flickr30k",))
SBU = Dataset("sbu", None, layouts=("sbu",), instructions="put sbu-captions-all.json beside images/")
MINE = Dataset("mine", None)
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


@pytest.mark.parametrize(
    "table",
    [
        'image_name| comment_number| comment\n1.jpg| 0| A dog .\n1.jpg| 1| 2 "red" dogs , big\n2.jpg| 0   A cat .\n',
        'image_name,comment_number,comment\n1.jpg,0,A dog .\n1.jpg,1,"2 ""red"" dogs , big"\n2.jpg,0 A cat .\n',
    ],
)
@pytest.mark.parametrize("place", ["", "results.csv", "nested"])
def test_flickr30k_as_kaggle_has_it(tmp_path: Path, table: str, place: str) -> None:
    """The third line lacks a separator, as one of the real file does."""
    folder = tmp_path / "flickr30k_images" if place == "nested" else tmp_path
    write(folder / "results.csv", table)
    write(folder / "flickr30k_images/1.jpg", picture())
    source = open_source(MINE, str(tmp_path / place if place != "nested" else tmp_path))
    assert read(source) == [
        ("1.jpg", ("A dog .", '2 "red" dogs , big'), "1.jpg", False),
        ("2.jpg", ("A cat .",), "2.jpg", True),
    ]
    assert "dataset_flickr30k.json is not next to results.csv: every image" in source.provenance.details["problem"]
    write(folder / "dataset_flickr30k.json", json.dumps(SPLIT))
    assert [row.id for row in open_source(FLICKR, str(folder)).rows()] == ["1.jpg"]
    assert open_source(Dataset("k", None, layouts=("karpathy",)), str(folder)).provenance.layout == "karpathy"


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


# --- Karpathy's splits


def karpathy(name: str, split: str, folder: str = "") -> dict[str, object]:
    sentences = [{"raw": f"A dog {name} {k} .", "tokens": ["a"]} for k in range(2)]
    return {"filename": name, "split": split, "sentences": sentences, **({"filepath": folder} if folder else {})}


SPLITS = [("1.jpg", "train"), ("2.jpg", "restval"), ("3.jpg", "val"), ("4.jpg", "test"), ("5.jpg", "test")]


@pytest.mark.parametrize(
    ("split", "images"), [("", "45"), ("test", "45"), ("validation", "3"), ("train+restval", "12"), ("restval", "2")]
)
@pytest.mark.parametrize(("name", "folder"), [("coco", "val2014"), ("flickr30k", ""), ("flickr8k", "")])
@pytest.mark.parametrize("root", ["", "images"])
def test_karpathys_splits(tmp_path: Path, split: str, images: str, name: str, folder: str, root: str) -> None:
    content = {"images": [karpathy(file, of, folder) for file, of in SPLITS], "dataset": name}
    file = write(tmp_path / f"dataset_{name}.json", json.dumps(content))
    for image, _ in SPLITS:
        write(tmp_path / root / folder / image, picture())
    where = f"{folder}/" if folder else ""
    texts = [(f"{where}{n}.jpg", (f"A dog {n}.jpg 0 .", f"A dog {n}.jpg 1 .")) for n in images]
    for place in (tmp_path, file):
        source = open_source(*parse_location(MINE, f"{place}?split={split}" if split else str(place)))
        assert read(source) == [(key, captions, key, False) for key, captions in texts]
        problem = source.provenance.details["problem"]
        assert problem.startswith(f"split {split or 'test'}: ".replace("validation", "val"))
        assert f"{len(images)} image{'s' * (len(images) > 1)} of 5; not used: " in problem


def test_karpathys_splits_and_their_training(tmp_path: Path) -> None:
    content = {"images": [karpathy(file, of) for file, of in SPLITS]}
    file = write(tmp_path / "dataset_coco.json", json.dumps(content))
    assert [row.id for row in open_training_data(str(file)).rows()] == ["1.jpg"]
    with pytest.raises(DataError, match=r"no split 'tset'; the splits are: train, restval, val, test"):
        open_source(*parse_location(MINE, f"{file}?split=tset"))
    write(file, json.dumps({"images": [karpathy("1.jpg", "test"), karpathy("1.jpg", "test")]}))
    with pytest.raises(DataError, match=r"the image 1\.jpg appears twice"):
        open_source(MINE, str(file))


# --- img2dataset


def write_img2dataset(folder: Path) -> None:
    for key, caption in (("000000000", "a dog\non two lines"), ("000000002", "a cat")):
        write(folder / f"00000/{key}.jpg", picture())
        write(folder / f"00000/{key}.txt", caption)
        write(folder / f"00000/{key}.json", json.dumps({"caption": caption, "key": key, "status": "success"}))
    write(folder / "00000_stats.json", json.dumps({"count": 3, "successes": 2, "failed_to_download": 1}))
    rows = {"url": ["u", "v", "w"], "caption": ["a dog\non two lines", "lost", "a cat"], "key": ["0", "1", "2"]}
    pd.DataFrame(rows).to_parquet(folder / "00000.parquet")


def test_img2dataset_folders(tmp_path: Path) -> None:
    write_img2dataset(tmp_path)
    source = open_source(MINE, str(tmp_path))
    assert read(source) == [
        ("00000/000000000.jpg", ("a dog\non two lines",), "00000/000000000.jpg", False),
        ("00000/000000002.jpg", ("a cat",), "00000/000000002.jpg", False),
    ]
    assert source.provenance.layout == "img2dataset"
    assert source.provenance.details["problem"] == "1 of 3 images could not be downloaded (*_stats.json)"
    for text in tmp_path.glob("00000/*.txt"):
        text.unlink()
    with pytest.raises(DataError, match=r"no image has a \.txt: name the column of captions"):
        open_source(MINE, str(tmp_path))


def test_archives_are_to_be_unpacked(tmp_path: Path) -> None:
    write(tmp_path / "photos/all.zip", "x")
    for place in ("photos", "photos/all.zip"):
        with pytest.raises(DataError, match=r"; unpack all\.zip first$"):
            open_source(MINE, str(tmp_path / place))


# --- image folders with splits


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("root", [".", "data"])
def test_image_folders_with_splits(tmp_path: Path, suffix: str, root: str) -> None:
    for number, split in enumerate(("train", "validation")):
        write(tmp_path / root / split / "a.jpg", picture((number, 0, 0)))
        table = pd.DataFrame({"file_name": ["a.jpg"], "text": [f"a dog of {split}"]})
        path = tmp_path / root / split / f"metadata.{suffix}"
        match suffix:
            case "jsonl":
                table.to_json(path, orient="records", lines=True)
            case "csv":
                table.to_csv(path, index=False)
            case _:
                table.to_parquet(path)
    with pytest.raises(DataError, match="no split 'test'; the splits are: train, validation"):
        open_source(MINE, str(tmp_path))
    for name, split in (("train", "train"), ("val", "validation")):
        source = open_source(*parse_location(MINE, f"{tmp_path}?split={name}"))
        assert [(captions, key, missing) for _, captions, key, missing in read(source)] == [
            ((f"a dog of {split}",), "a.jpg", False)
        ]
        assert source.provenance.details["problem"].startswith(f"split {split}; not used: ")
    assert [row.captions for row in open_training_data(str(tmp_path)).rows()] == [("a dog of train",)]
    (tmp_path / root / f"validation/metadata.{suffix}").unlink()
    source = open_source(MINE, str(tmp_path))
    assert [row.captions for row in source.rows()] == [("a dog of train",)]
    assert "problem" not in source.provenance.details


# --- locations


def test_locations_as_people_write_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "my data/t.csv", "image,caption\na.jpg,a dog\n")
    for place in ("~/my data/t.csv", (tmp_path / "my data/t.csv").as_uri(), "my data\\t.csv", "./my data//t.csv"):
        assert read(open_source(MINE, place)) == [("0", ("a dog",), "a.jpg", True)]
        declared = {"name": "mine", "task_type": "retrieval", "dataset": {"path": place}}
        write(tmp_path / "mine.yaml", json.dumps(declared))
        (task,) = select_tasks("mine.yaml", ())
        assert read(open_source(task.dataset, task.dataset.path)) == [("0", ("a dog",), "a.jpg", True)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json", "t.parquet", "captions_val2017.json", "captions.txt"])
def test_a_table_is_a_regular_file(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="not a regular file"):
        open_source(MINE, str(tmp_path / name))
    with pytest.raises(DataError):
        open_source(MINE, str(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_captions_and_photographs_of_a_folder_are_regular_files(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", picture())
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"a\.txt: not a regular file"):
        open_source(MINE, str(tmp_path))
    (tmp_path / "a.txt").unlink()
    write(tmp_path / "a.txt", "a dog")
    (tmp_path / "a.jpg").unlink()
    os.mkfifo(tmp_path / "a.jpg")
    (row,) = open_source(MINE, str(tmp_path)).rows()
    assert row.images[0].missing
    with pytest.raises(DataError, match="not a regular file"):
        row.images[0].open()


def test_a_caption_file_next_to_two_images_is_refused(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        write(tmp_path / name, picture())
    write(tmp_path / "a.txt", "a dog")
    with pytest.raises(DataError, match=r"a\.txt is next to two images, a\.jpg and a\.png: keep one"):
        open_source(MINE, str(tmp_path))


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
