from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipbench.data import Dataset, HubTable, open_source
from clipbench.data import arrow as arrow_rows
from clipbench.errors import DataError
from clipbench.types import Row
from tests.data import builders
from tests.data.builders import BROKEN, picture

RED, GREEN, BLUE = (picture(color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
INPAINTCOCO = Dataset(
    "inpaintcoco",
    HubTable(
        "phiyodr/InpaintCOCO",
        "main",
        "test",
        ("coco_image", "inpaint_image"),
        ("coco_caption", "inpaint_caption"),
        ("concept",),
    ),
)
PAIRS = [
    {
        "concept": concept,
        "coco_caption": f"a {concept} {n}",
        "coco_image": picture((n, 0, 0)),
        "inpaint_caption": "" if n == 4 else f"another {n}",
        "inpaint_image": None if n == 5 else picture((0, n, 0)),
    }
    for n, concept in enumerate(["object", "object", "object", "size", "color", "color", "color"])
]
MINE = Dataset("mine", None)


def hub_dataset(name: str, split: str, image: str, caption: str) -> Dataset:
    return Dataset(name, HubTable(f"x/{name}", "main", split, (image,), (caption,)))


def seen(rows: list[Row]) -> list[tuple[object, ...]]:
    return [
        (
            row.id,
            row.captions,
            dict(row.fields),
            [(i.key, i.missing, None if i.missing else i.open().tobytes()) for i in row.images],
        )
        for row in rows
    ]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("dataset", "write"),
    [
        (hub_dataset("coco", "val", "image", "answer"), builders.write_coco_hub),
        (hub_dataset("coco", "validation", "image", "captions"), builders.write_coco_captioning_hub),
        (hub_dataset("flickr30k", "test", "image", "caption"), builders.write_flickr30k_hub),
        (hub_dataset("sbu", "train", "image", "caption"), builders.write_sbu_hub),
        (hub_dataset("fashion200k", "data", "image", "text"), builders.write_fashion200k_hub),
        (hub_dataset("nasa", "train", "image", "text"), builders.write_nasa_hub),
        (hub_dataset("oldbooks", "train", "1600px", "image_caption"), builders.write_oldbooks_hub),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_every_caption_dataset_in_its_hub_columns(
    tmp_path: Path, dataset: Dataset, write: Callable[..., Path], streaming: bool
) -> None:
    lists = "coco" in write.__name__
    texts = [("a red dog", "a dog"), ("",), ("green",)] if lists else [("a red dog",), ("",), ("green",)]
    images = [RED, None, GREEN]
    folder = write(tmp_path, [(i, t if lists else t[0]) for i, t in zip(images, texts, strict=True)])
    source = open_source(dataset, str(folder), streaming=streaming)
    rows = list(source.rows())
    assert [row.id for row in rows] == ["0", "1", "2"]
    assert [row.captions for row in rows] == texts
    assert [row.images[0].missing for row in rows] == [False, True, False]
    assert rows[2].images[0].open().getpixel((0, 0)) == (0, 255, 0)
    with pytest.raises(DataError, match="^row 1: the dataset has no image here$"):
        rows[1].images[0].open()
    assert [row.id for row in source.rows(keep=lambda captions: "green" in captions)] == ["2"]
    assert source.provenance.layout == "parquet"


@pytest.mark.parametrize("streaming", [False, True])
def test_inpaintcoco(tmp_path: Path, streaming: bool) -> None:
    source = open_source(INPAINTCOCO, str(builders.write_inpaintcoco(tmp_path, PAIRS)), streaming=streaming)
    rows = list(source.rows(where={"concept": "color"}))
    assert [(row.id, row.captions, row.fields["concept"]) for row in rows] == [
        ("4", ("a color 4", ""), "color"),
        ("5", ("a color 5", "another 5"), "color"),
        ("6", ("a color 6", "another 6"), "color"),
    ]
    assert [[image.missing for image in row.images] for row in rows] == [
        [False, False],
        [False, True],
        [False, False],
    ]
    assert [image.open().getpixel((0, 0)) for image in rows[2].images] == [(6, 0, 0), (0, 6, 0)]
    assert rows[1].images[1].key == "row 5, inpaint_image"
    with pytest.raises(DataError, match="cannot be filtered by colour: its fields are concept"):
        source.rows(where={"colour": "red"})
    assert list(source.rows(where={"concept": "location"})) == []
    assert list(source.rows(where={"concept": 3})) == []


@pytest.mark.parametrize("row_group", [1, 2, 3, 100])
@pytest.mark.parametrize("where", [{}, {"concept": "object"}, {"concept": "size"}, {"concept": "nothing"}])
@pytest.mark.parametrize("keep", [None, lambda captions: "2" not in captions[0]])
def test_streamed_rows_equal_downloaded_ones(
    tmp_path: Path, row_group: int, where: dict[str, object], keep: Any
) -> None:
    folder = str(builders.write_inpaintcoco(tmp_path, PAIRS, row_group=row_group))
    downloaded = open_source(INPAINTCOCO, folder)
    streamed = open_source(INPAINTCOCO, folder, streaming=True)
    assert seen(list(streamed.rows(where=where, keep=keep))) == seen(list(downloaded.rows(where=where, keep=keep)))
    assert streamed.provenance.fingerprint == downloaded.provenance.fingerprint


@pytest.mark.parametrize("streaming", [False, True])
def test_images_of_rows_that_are_filtered_out_are_never_touched(
    tmp_path: Path, streaming: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(BROKEN if n != 3 else RED, f"caption {n}") for n in range(8)]
    source = open_source(MINE, str(builders.write_flickr30k_hub(tmp_path, rows)), streaming=streaming)
    touched: list[int] = []
    read = arrow_rows.Cell.read
    monkeypatch.setattr(arrow_rows.Cell, "read", lambda cell: touched.append(cell.row) or read(cell))
    (row,) = source.rows(keep=lambda captions: captions == ("caption 3",))
    assert set(touched) == {3}
    assert row.images[0].open().getpixel((0, 0)) == (255, 0, 0)
    others = [row for row in source.rows() if row.id != "3"]  # broken, but nobody opens them
    with pytest.raises(DataError, match=r"^row 0: the image is corrupt or truncated"):
        others[0].images[0].open()


def test_only_the_columns_that_are_needed_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = builders.write_inpaintcoco(tmp_path, PAIRS)
    asked: list[dict[str, Any]] = []
    load = datasets.load_dataset
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *args, **options: asked.append(options) or load(*args, **options)
    )
    needed = {"coco_image", "inpaint_image", "coco_caption", "inpaint_caption", "concept"}
    open_source(INPAINTCOCO, str(folder))
    assert set(asked[-1]["columns"]) == needed
    list(open_source(INPAINTCOCO, str(folder), streaming=True).rows(where={"concept": "color"}))
    images = [options for options in asked if "filters" in options]
    assert [set(options["columns"]) for options in images] == [needed]
    assert images[0]["filters"] == [("concept", "==", "color")]


def test_one_photograph_in_several_rows_is_one_image(tmp_path: Path) -> None:
    rows = [(RED, "a"), (RED, "b"), (GREEN, "c"), (RED, "d")]
    source = open_source(MINE, str(builders.write_flickr30k_hub(tmp_path, rows)))
    keys = [row.images[0].key for row in source.rows()]
    assert keys[0] == keys[1] == keys[3] != keys[2]
    assert keys[3] == next(source.rows(keep=lambda captions: captions == ("d",))).images[0].key
    folder = builders.write_coco_hub(tmp_path / "coco", [(RED, ["a"]), (RED, ["b"])])
    coco = builders.open_columns(folder, captions=("answer",))
    assert [row.images[0].key for row in coco.rows()] == ["row 0", "row 1"]  # a row is an image there


@pytest.mark.parametrize("one_caption_a_row", [False, True])
def test_images_are_read_once_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_caption_a_row: bool
) -> None:
    images = [RED, None, RED, b"", GREEN]
    if one_caption_a_row:
        folder = builders.write_flickr30k_hub(tmp_path, [(image, f"c {n}") for n, image in enumerate(images)])
        source = open_source(MINE, str(folder))
    else:
        folder = builders.write_coco_hub(tmp_path, [(image, [f"c {n}"]) for n, image in enumerate(images)])
        source = builders.open_columns(folder, captions=("answer",))
    touched: list[int] = []
    read = arrow_rows.Cell.read
    monkeypatch.setattr(arrow_rows.Cell, "read", lambda cell: touched.append(cell.row) or read(cell))
    (first,) = source.rows(keep=lambda captions: captions == ("c 2",))
    assert touched == [2]
    rows = list(source.rows())  # another task on the same source
    assert touched[1:] == [0, 1, 3, 4]
    touched.clear()
    again = list(source.rows())
    assert set(touched) <= {1}  # COCO's cell of row 1 has no bytes but a path, which is looked up anew
    assert [row.images for row in again] == [row.images for row in rows]
    assert again[2].images == first.images
    assert [row.images[0].missing for row in again] == [False, True, False, True, False]
    assert again[4].images[0].open().getpixel((0, 0)) == (0, 255, 0)
    assert set(touched) == {4}  # only now, to decode it


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_are_chosen_by_numbers_and_truth(tmp_path: Path, streaming: bool) -> None:
    columns = {"image": [RED] * 3, "caption": ["a", "b", "c"], "n": [1, 3, 3], "text": ["3", "1", "3"]}
    pq.write_table(pa.table(columns | {"good": [True, False, None]}), tmp_path / "t.parquet")
    source = builders.open_columns(tmp_path / "t.parquet", streaming=streaming, fields=("n", "text", "good"))
    for where, expected in (
        ({"n": 3}, "bc"),
        ({"n": "3"}, "bc"),
        ({"text": 3}, "ac"),
        ({"text": "3"}, "ac"),
        ({"text": "3", "n": 3}, "c"),
        ({"good": True}, "a"),
        ({"good": "true"}, "a"),
        ({"n": True}, ""),
    ):
        assert "".join(row.captions[0] for row in source.rows(where=where)) == expected, where


@pytest.mark.parametrize("streaming", [False, True])
def test_images_as_bytes_and_as_paths(tmp_path: Path, streaming: bool) -> None:
    (tmp_path / "a.png").write_bytes(BLUE)
    (tmp_path / "empty.png").write_bytes(b"")
    path = str(tmp_path / "a.png")
    struct = [{"bytes": BLUE}, {"bytes": None}, None, {"bytes": b""}]
    columns: list[Any] = [[BLUE, None, b""], ["a.png", "gone.png", None, "empty.png"], [path, ""], struct]
    for number, images in enumerate(columns):
        file = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table({"image": images, "caption": ["x"] * len(images)}), file)
        rows = list(open_source(MINE, str(file), streaming=streaming).rows())
        assert rows[0].images[0].open().getpixel((0, 0)) == (0, 0, 255)
        assert [row.images[0].missing for row in rows] == [False] + [True] * (len(images) - 1)


def test_a_column_that_holds_no_image(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [1], "caption": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="row 0: column image holds int64, not an image"):
        list(open_source(MINE, str(tmp_path / "a.parquet")).rows())
    pq.write_table(pa.table({"image": [b"x"], "caption": [1]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet, row 0, column caption: expected a caption"):
        list(open_source(MINE, str(tmp_path / "b.parquet")).rows())


@pytest.mark.parametrize("streaming", [False, True])
def test_a_missing_column_lists_what_there_is(tmp_path: Path, streaming: bool) -> None:
    folder = str(builders.write_oldbooks_hub(tmp_path, [(RED, "a")]))
    with pytest.raises(DataError, match=r"no column 'image_captoin' \(did you mean image_caption") as caught:
        builders.open_columns(folder, streaming=streaming, images=("1600px",), captions=("image_captoin",))
    assert "the columns are: rawscan, 1600px, info_url, info_alt" in str(caught.value)


def test_broken_parquet_files(tmp_path: Path) -> None:
    folder = builders.write_flickr30k_hub(tmp_path, [(RED, "a")])
    (file,) = folder.glob("data/*.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(
        DataError, match=r"parquet: not a parquet file, or truncated \([\d,]+ bytes\): download it again$"
    ):
        open_source(MINE, str(folder))
    file.write_bytes(whole[:4] + b"\xff" * 200 + whole[204:])
    with pytest.raises(DataError, match=r"a data file is broken|cannot be read") as caught:
        list(open_source(MINE, str(folder)).rows())
    assert "\n" not in str(caught.value)


def test_fingerprints_tell_tables_apart(tmp_path: Path) -> None:
    one = open_source(MINE, str(builders.write_flickr30k_hub(tmp_path / "1", [(RED, "a")])))
    same = open_source(MINE, str(builders.write_flickr30k_hub(tmp_path / "2", [(RED, "a")])))
    other = open_source(MINE, str(builders.write_flickr30k_hub(tmp_path / "3", [(RED, "b")])))
    assert one.provenance.fingerprint == same.provenance.fingerprint != other.provenance.fingerprint


@pytest.mark.parametrize("splits", [False, True])
def test_a_folder_from_save_to_disk(tmp_path: Path, splits: bool) -> None:
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    table = datasets.Dataset.from_dict(
        {"image": [{"bytes": RED, "path": None}, None], "caption": ["a", "b"]}, features=features
    )
    (datasets.DatasetDict({"test": table}) if splits else table).save_to_disk(str(tmp_path / "saved"))
    dataset = hub_dataset("flickr30k", "test", "image", "caption")
    source = open_source(dataset, str(tmp_path / "saved"))
    rows = list(source.rows())
    assert [row.images[0].missing for row in rows] == [False, True]
    assert rows[0].images[0].open().getpixel((0, 0)) == (255, 0, 0)
    assert source.provenance.layout == "arrow"
    if splits:
        with pytest.raises(DataError, match="no split 'val'; the splits are: test"):
            open_source(hub_dataset("coco", "val", "image", "caption"), str(tmp_path / "saved"))


@pytest.mark.parametrize("streaming", [False, True])
def test_images_travel_to_worker_processes(tmp_path: Path, streaming: bool) -> None:
    folder = builders.write_flickr30k_hub(tmp_path, [(RED, "a"), (GREEN, "b")])
    rows = list(open_source(MINE, str(folder), streaming=streaming).rows())
    copy = pickle.loads(pickle.dumps(rows[1].images[0]))
    assert copy == rows[1].images[0]
    assert copy.open().getpixel((0, 0)) == (0, 255, 0)
