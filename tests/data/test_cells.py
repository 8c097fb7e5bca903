"""What people have in the cells of their tables: however it is written, it is the same rows."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Features, Image, List, Value
from PIL import Image as Pictures

from clipbench.data import Dataset, Source, open_source
from clipbench.data.caption_cells import captions_in
from clipbench.data.images import decode
from clipbench.errors import DataError
from tests.data.builders import cell, open_columns, picture, write_table

MINE = Dataset("mine", None)
CAPTIONS = {
    "img/a.png": ["A dog's life.", 'A "red" dog', "A dog, on the left"],
    "img/b.png": ["A cat.\nAnd more", "Un café [sic]", "'Cat'"],
}
ROWS = [(key, tuple(texts)) for key, texts in CAPTIONS.items()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "img").mkdir()
    for number, name in enumerate(CAPTIONS):
        (tmp_path / name).write_bytes(picture((number, 8, 7)))
    return tmp_path


def rows_of(source: Source) -> list[tuple[str, tuple[str, ...]]]:
    """Captions by image, as retrieval gathers them; every image is there."""
    gathered: dict[str, list[str]] = {}
    for row in source.rows():
        (image,) = row.images
        assert not image.missing
        gathered.setdefault(image.key, []).extend(row.captions)
    return [(key, tuple(texts)) for key, texts in gathered.items()]


def write_csv(path: Path, names: list[str], rows: list[list[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])
    return path


@pytest.mark.parametrize("kind", [list, tuple, lambda texts: np.array(texts), lambda texts: np.array(texts, object)])
def test_lists_that_pandas_wrote_as_text(folder: Path, kind: Any) -> None:
    """Of three captions, one text was made: ``['A dog\\'s life.', …]``."""
    table = pd.DataFrame({"image": list(CAPTIONS), "captions": [kind(texts) for texts in CAPTIONS.values()]})
    table.to_csv(folder / "t.csv")
    assert rows_of(open_source(MINE, str(folder / "t.csv"))) == ROWS


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
@pytest.mark.parametrize("key", ["raw", "caption", "text"])
def test_captions_that_are_objects_and_json_in_csv(folder: Path, suffix: str, key: str) -> None:
    cells = [[{key: text, "tokens": [text]} for text in texts] for texts in CAPTIONS.values()]
    rows = [{"image": image, "captions": cell} for image, cell in zip(CAPTIONS, cells, strict=True)]
    path = folder / f"t.{suffix}"
    if suffix == "csv":
        write_csv(
            path,
            ["image", "captions"],
            [[image, json.dumps(cell)] for image, cell in zip(CAPTIONS, cells, strict=True)],
        )
    else:
        path.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert rows_of(open_source(MINE, str(path))) == ROWS


@pytest.mark.parametrize(
    ("cell", "captions"),
    [
        ("[A dog runs]", "[A dog runs]"),
        ("(a dog)", "(a dog)"),
        ("('a dog')", "('a dog')"),
        ("{a dog}", "{a dog}"),
        ("[", "["),
        ("[1, 2]", "[1, 2]"),
        ("[]", []),
        ("['a', None]", ["a", ""]),
        ("['a' 'b'\n 'c']", ["a", "b", "c"]),
        ('["a", "b"]', ["a", "b"]),
        (" ['a', \"b's\"] ", ["a", "b's"]),
        (["a", None], ["a", ""]),
        (float("nan"), ""),
        ("[" * 50_000, "[" * 50_000),
    ],
)
def test_what_is_a_list_and_what_is_a_caption(cell: object, captions: object) -> None:
    assert captions_in(cell, "t.csv, line 1, column caption") == captions


@pytest.mark.parametrize(
    "cell",
    ["['a', 'b", "['a''b']", "['a'b']", "[['a'], ['b']]", '["a", 1]', "{'raw': 1}", "[{'raw': 'a'", "['a', " * 30_000],
)
def test_a_list_that_cannot_be_read_is_refused(cell: str) -> None:
    with pytest.raises(DataError, match=r"^t\.csv, line 1: begins like a list of captions, but cannot") as caught:
        captions_in(cell, "t.csv, line 1")
    assert len(str(caught.value)) < 250


def test_a_caption_column_beside_numbered_ones(folder: Path) -> None:
    rows = [[image, *texts, "unused"] for image, texts in CAPTIONS.items()]
    path = write_csv(folder / "t.csv", ["image", "caption", "caption_1", "caption_2", "alt_text"], rows)
    source = open_source(MINE, str(path))
    assert rows_of(source) == ROWS
    assert (
        "columns not used: alt_text (used: image, caption, caption_1, caption_2" in source.provenance.details["problem"]
    )


@pytest.mark.parametrize(
    ("names", "unused"),
    [
        ("image,caption,image_2,wrongImage", "image_2, wrongImage"),
        ("image,caption,title", "title"),
        ("image,caption,sentence_1,sentence_2", "sentence_1, sentence_2"),
        ("image,captions,caption_1", "caption_1"),
        ("image,caption,image_id,image_width,caption_id,image_url,file_name,md5,textual,n", None),
    ],
)
def test_what_is_left_unused_is_said(tmp_path: Path, names: str, unused: str | None) -> None:
    path = tmp_path / "t.csv"
    path.write_text(names + "\n" + "x," * names.count(",") + "x\n")
    problem = open_source(MINE, str(path)).provenance.details.get("problem")
    assert problem is None if unused is None else problem.startswith(f"columns not used: {unused} (used: ")
    chosen = open_columns(path, images=("image",), captions=(names.split(",")[1],))
    assert "problem" not in chosen.provenance.details  # the user has decided


def spellings(folder: Path, name: str) -> list[str]:
    base = name.rpartition("/")[2]
    return [
        name,
        f"./{name}",
        f"img//{base}",
        f"img/../img/{base}",
        f"img\\{base}",
        f" {name}",
        f"../{folder.name}/{name}",
        str(folder / name),
        (folder / name).as_uri(),
    ]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_image_whose_path_is_spelled_differently_is_one_image(
    folder: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    lines = [
        (spelling, f"{name} {number}")
        for name in CAPTIONS
        for number, spelling in enumerate([*spellings(folder, name), f"~/{name}"])
    ]
    table = pd.DataFrame(lines, columns=["image", "caption"])
    path = folder / f"t.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    expected = [(name, tuple(f"{name} {number}" for number in range(10))) for name in CAPTIONS]
    assert rows_of(open_source(MINE, str(path))) == expected
    monkeypatch.chdir(folder)
    assert rows_of(open_source(MINE, path.name)) == expected


def test_a_path_outside_of_the_tables_folder_is_opened_as_it_is_spelled(tmp_path: Path) -> None:
    """Through a link, `..` leads elsewhere."""
    (tmp_path / "far/tables").mkdir(parents=True)
    (tmp_path / "far/a.png").write_bytes(picture())
    (tmp_path / "near").symlink_to(tmp_path / "far/tables")
    (tmp_path / "far/tables/t.csv").write_text("image,caption\n../a.png,a dog\n")
    (row,) = open_source(MINE, str(tmp_path / "near/t.csv")).rows()
    assert (row.images[0].missing, row.images[0].key) == (False, "../a.png")
    assert row.images[0].open().size == (24, 16)


def test_names_that_no_file_can_have_are_missing(tmp_path: Path) -> None:
    names = ["a\0b/c.png", "\ud800/x.png", "x" * 300 + "/y.png", "y" * 300 + ".png", ".", "/"]
    lines = [json.dumps({"image": name, "caption": "a dog"}) for name in names]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    refs = [row.images[0] for row in open_source(MINE, str(tmp_path / "t.jsonl")).rows()]
    assert all(ref.missing for ref in refs)
    assert all(ref.key.encode() for ref in refs)  # can be printed


@pytest.mark.parametrize("write", ["url", "base64", "urlsafe", "lines", "bytes"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_images_in_cells(tmp_path: Path, write: str, suffix: str) -> None:
    rng = np.random.default_rng(3)
    contents = [picture(tuple(map(int, rng.integers(0, 255, 3))), format=kind) for kind in ("PNG", "JPEG")]
    cells = []
    for content in contents:
        text = base64.b64encode(content).decode()
        cells.append(
            {
                "url": f"data:image/png;base64,{text}",
                "base64": text,
                "urlsafe": base64.urlsafe_b64encode(content).decode().rstrip("="),
                "lines": base64.encodebytes(content).decode(),
                "bytes": text,
            }[write]
        )
    lines = [(cell, caption) for cell in cells for caption in ("a dog", "a red dog")]
    path = tmp_path / f"t.{suffix}"
    if suffix == "jsonl":
        rows = [{"image": {"bytes": c, "path": None} if write == "bytes" else c, "caption": t} for c, t in lines]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pd.DataFrame(lines, columns=["image", "caption"]).to_csv(
            path, index=False, sep="\t" if suffix == "tsv" else ","
        )
    rows = list(open_source(MINE, str(path)).rows())
    assert len({row.images[0].key for row in rows}) == 2
    for row, content in zip(rows[::2], contents, strict=True):
        assert row.images[0].open().tobytes() == decode(content, "x").tobytes()


def test_a_large_image_in_a_cell(tmp_path: Path) -> None:
    """Python's csv module stops at 131,072 characters."""
    noise = np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Pictures.fromarray(noise).save(buffer, "PNG")
    (tmp_path / "t.csv").write_text(f"image,caption\n{base64.b64encode(buffer.getvalue()).decode()},noise\n")
    (row,) = open_source(MINE, str(tmp_path / "t.csv")).rows()
    assert np.array_equal(np.asarray(row.images[0].open()), noise)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("data:text/plain;base64,AAAA", "is no `data:image/…` URL"),
        ("data:image/png;base64,A!AA", "base64 that cannot be decoded"),
        ("https://x.org/a.jpg", "is a URL: download the images first, for instance with `img2dataset"),
        ("S3://bucket/a.jpg", "is a URL"),
        ("/9j/" + "é" * 100_000, "100,004 characters, beginning '/9j/ééé"),
        ({"bytes": 5}, "expected an image's path"),
        (5, "expected an image's path, found '5'"),
        (True, "expected an image's path, found 'True'"),
    ],
)
def test_a_cell_that_holds_no_image_is_one_short_line(tmp_path: Path, cell: object, reason: str) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps({"image": cell, "caption": "a"}))
    with pytest.raises(DataError) as caught:
        list(open_source(MINE, str(tmp_path / "t.jsonl")).rows())
    message = str(caught.value)
    assert "line 1, column image: " in message
    assert reason in message
    assert len(message) < 450
    assert "\n" not in message


def test_base64_of_what_is_no_image_is_one_short_line(tmp_path: Path) -> None:
    text = base64.b64encode(os.urandom(90_000)).decode()
    (tmp_path / "t.jsonl").write_text(json.dumps({"image": text, "caption": "a"}))
    (row,) = open_source(MINE, str(tmp_path / "t.jsonl")).rows()
    with pytest.raises(DataError, match=r"line 1, column image: not an image that Pillow can read") as caught:
        row.images[0].open()
    assert len(str(caught.value)) < 300


def test_a_table_of_urls_says_how_to_download(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("URL,TEXT\nhttp://x/a.jpg,a dog\n")
    with pytest.raises(DataError, match=r"found no image column, but URLs \(URL\): .* --url_list TABLE --url_col URL"):
        open_source(MINE, str(tmp_path / "t.csv"))


def test_a_list_of_one_image(folder: Path) -> None:
    lines = [{"images": [name], "caption": f"{name} {n}"} for name in CAPTIONS for n in range(2)]
    expected = [(name, (f"{name} 0", f"{name} 1")) for name in CAPTIONS]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    pd.DataFrame(lines).to_csv(folder / "t.csv")
    for name in ("t.jsonl", "t.csv"):
        assert rows_of(open_source(MINE, str(folder / name))) == expected


@pytest.mark.parametrize("streaming", [False, True])
def test_parquet_columns_of_lists_of_images(tmp_path: Path, streaming: bool) -> None:
    contents = [picture((number, 0, 0)) for number in range(4)]
    features = Features({"images": List(Image()), "captions": List(Value("string"))})
    rows = [
        {"images": [cell(contents[0])], "captions": ["one"]},
        {"images": [cell(contents[1]), cell(contents[2])], "captions": ["two", "three"]},
        {"images": [], "captions": []},
    ]
    path = write_table(tmp_path / "t.parquet", features, rows)
    found = list(open_columns(path, streaming=streaming).rows())
    assert [[ref.key for ref in row.images] for row in found] == [
        ["row 0"],
        ["row 1, images[0]", "row 1, images[1]"],
        [],
    ]
    images = [ref.open().tobytes() for row in found for ref in row.images]
    assert images == [decode(content, "x").tobytes() for content in contents[:3]]
    assert len({ref.content() for row in found for ref in row.images}) == 3


def test_parquet_columns_of_lists_of_images_are_one_image_if_equal(tmp_path: Path) -> None:
    features = Features({"images": List(Image()), "caption": Value("string")})
    rows = [{"images": [cell(picture())], "caption": text} for text in ("a dog", "a red dog")]
    found = list(open_columns(write_table(tmp_path / "t.parquet", features, rows)).rows())
    assert len({row.images[0].key for row in found}) == 1


def test_parquet_cells_of_urls(tmp_path: Path) -> None:
    pd.DataFrame({"image": ["http://x/a.jpg"], "caption": ["a dog"]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"row 0, column image: http://x/a\.jpg is a URL: download"):
        list(open_source(MINE, str(tmp_path / "t.parquet")).rows())


# --- how tables are written


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", 'image;caption\nimg/a.png;a dog, black\nimg/b.png;"a; cat"\n'),
        ("t.csv", '"image";"caption"\n"img/a.png";"a dog, black"\n"img/b.png";"a; cat"\n'),
        ("t.csv", '"image", "caption"\n"img/a.png", "a dog, black"\n"img/b.png", "a; cat"\n'),
        ("t.csv", 'image, caption\nimg/a.png, "a dog, black"\nimg/b.png, a; cat\n'),
        ("t.csv", "image| caption\nimg/a.png| a dog, black\nimg/b.png| a; cat\n"),
        ("t.csv", "image\tcaption\nimg/a.png\ta dog, black\nimg/b.png\ta; cat\n"),
        ("t.tsv", 'image,caption\nimg/a.png,"a dog, black"\nimg/b.png,a; cat\n'),
        ("t.csv", "\ufeffimage;caption;\nimg/a.png;a dog, black;\nimg/b.png;a; cat;\n".replace("a; cat", '"a; cat"')),
    ],
)
def test_delimiters(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    expected = [("img/a.png", ("a dog, black",)), ("img/b.png", ("a; cat",))]
    assert rows_of(open_source(MINE, str(folder / name))) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_encodings(folder: Path, encoding: str, suffix: str) -> None:
    row = {"image": "img/a.png", "caption": "un café noir"}
    text = json.dumps([row] if suffix == "json" else row, ensure_ascii=False)
    text = "image,caption\nimg/a.png,un café noir\n" if suffix == "csv" else text
    (folder / f"t.{suffix}").write_bytes(text.encode(encoding))
    source = open_source(MINE, str(folder / f"t.{suffix}"))
    assert rows_of(source) == [("img/a.png", ("un café noir",))]
    told = source.provenance.details.get("problem", "")
    assert ("was read as Windows-1252" in told) == (encoding in ("cp1252", "latin-1"))


def test_a_last_character_that_is_no_utf8(folder: Path) -> None:
    (folder / "t.csv").write_bytes(b"image,caption\nimg/a.png,un caf\xe9")
    assert rows_of(open_source(MINE, str(folder / "t.csv"))) == [("img/a.png", ("un café",))]


def test_a_table_with_very_many_columns(folder: Path) -> None:
    """A hundred thousand of them took minutes: each was looked for among all."""
    names = ["image", "caption", *(f"n{number}" for number in range(100_000))]
    write_csv(folder / "t.csv", names, [["img/a.png", "a dog", *["0"] * 100_000]])
    assert rows_of(open_source(MINE, str(folder / "t.csv"))) == [("img/a.png", ("a dog",))]
    with pytest.raises(DataError, match=r"n17 and 99,982 more") as caught:
        open_columns(folder / "t.csv", captions=("captoin",))
    assert len(str(caught.value)) < 500
