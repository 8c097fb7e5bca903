from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clipbench.data import Dataset, HubTable, Source, open_source
from clipbench.data.location import parse_location
from clipbench.errors import DataError
from tests.data.builders import open_columns, picture

MINE = Dataset("mine", None)


def open_text(path: Path, content: str | bytes, **options: Any) -> Source:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_columns(path, **options)


def captions(source: Source) -> list[tuple[str, ...]]:
    return [row.captions for row in source.rows()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.png").write_bytes(picture((9, 8, 7)))
    (tmp_path / "pictures/empty.png").write_bytes(b"")
    return tmp_path


def test_csv(folder: Path) -> None:
    absolute = folder / "pictures/a.png"
    text = 'image,caption,kind\npictures/a.png,"a dog, ""red""\nand big",x\n'
    text += f"{absolute},,y\npictures/empty.png,c,y\n,d,z\n"
    source = open_text(folder / "t.csv", "\ufeff" + text, fields=("kind",))
    rows = list(source.rows())
    assert [(row.id, row.captions) for row in rows] == [
        ("0", ('a dog, "red"\nand big',)),
        ("1", ("",)),
        ("2", ("c",)),
        ("3", ("d",)),
    ]
    assert [row.images[0].missing for row in rows] == [False, False, True, True]
    assert rows[0].images[0].key == "pictures/a.png"
    assert [rows[index].images[0].open().getpixel((0, 0)) for index in (0, 1)] == [(9, 8, 7)] * 2
    assert [row.id for row in source.rows(where={"kind": "y"})] == ["1", "2"]
    assert [row.id for row in source.rows(where={"kind": "y"}, keep=lambda texts: texts == ("c",))] == ["2"]
    assert source.provenance.layout == "csv"


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json"])
@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ({"n": 3}, "ad"),
        ({"n": "3"}, "ad"),
        ({"n": 1}, "b"),
        ({"n": 30}, ""),
        ({"good": True}, "ac"),
        ({"good": "true"}, "ac"),
        ({"good": False}, "b"),
        ({"good": 1}, ""),
        ({"n": 3, "good": True}, "a"),
        ({"n": True}, ""),
        ({"good": "None"}, ""),
    ],
)
def test_rows_are_chosen_alike_by_text_and_by_typed_values(
    folder: Path, suffix: str, where: dict[str, object], rows: str
) -> None:
    """A task file says ``where: {n: 3, good: true}``; in CSV these are texts."""
    values = [("a", 3, True), ("b", 1, False), ("c", 2, True), ("d", 3, None)]
    items = [{"image": "i", "caption": caption, "n": n, "good": good} for caption, n, good in values]
    between = "\t" if suffix == "tsv" else ","
    good = {True: "true", False: "False", None: ""}
    lines = [["image", "caption", "n", "good"], *(["i", c, str(n), good[g]] for c, n, g in values)]
    content = {
        "json": json.dumps(items),
        "jsonl": "\n".join(map(json.dumps, items)),
    }.get(suffix, "\n".join(between.join(line) for line in lines))
    source = open_text(folder / f"t.{suffix}", content, fields=("n", "good"))
    found = "".join(row.captions[0] for row in source.rows(where=where))
    assert found == rows


def test_tsv_jsonl_and_json_read_the_same(folder: Path) -> None:
    items = [{"path": "pictures/a.png", "text": "a dog"}, {"path": "pictures/b.png", "text": "a\u2028cat"}]
    tsv = "path\ttext\n" + "".join(f"{item['path']}\t{item['text']}\n" for item in items)
    lines = "\n".join(json.dumps(item, ensure_ascii=False) for item in items)
    for name, content in (("t.tsv", tsv), ("t.jsonl", lines + "\n\n"), ("u.json", json.dumps(items))):
        rows = list(open_text(folder / name, content).rows())
        assert [(row.id, row.captions, row.images[0].missing) for row in rows] == [
            ("0", ("a dog",), False),
            ("1", ("a\u2028cat",), True),
        ]


def test_lists_and_numbered_columns_of_captions(folder: Path) -> None:
    assert captions(open_text(folder / "a.jsonl", '{"image": "a", "captions": ["x", "y"]}\n')) == [("x", "y")]
    text = "image,caption_10,caption_2\na,ten,two\nb,,two\n"
    assert captions(open_text(folder / "b.csv", text)) == [("two", "ten"), ("two",)]


def test_pairs(folder: Path) -> None:
    text = "right,wrong,good,bad\npictures/a.png,pictures/b.png,one,two\n"
    source = open_text(folder / "t.csv", text, images=("right", "wrong"), captions=("good", "bad"))
    (row,) = source.rows()
    assert row.captions == ("one", "two")
    assert [(image.key, image.missing) for image in row.images] == [
        ("pictures/a.png", False),
        ("pictures/b.png", True),
    ]


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=8))
def test_captions_survive_csv_as_python_writes_it(rows: list[tuple[str, str]]) -> None:
    rows = [
        tuple("".join(c for c in text if c not in "\0" and not "\ud800" <= c <= "\udfff") for text in row)
        for row in rows
    ]
    assume(not any(text.lstrip()[:1] in ("[", "(", "{") for _, text in rows))  # lists as text
    assume(not any(name.strip().startswith(("http://", "https://")) for name, _ in rows))  # URLs are refused
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("n", "image", "caption"), *(("0", *row) for row in rows)])
        assert captions(open_source(MINE, str(path))) == [(caption,) for _, caption in rows]


@given(st.lists(st.text(), max_size=8))
def test_captions_survive_jsonl(texts: list[str]) -> None:
    texts = ["".join(c for c in text if not "\ud800" <= c <= "\udfff") for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.jsonl")
        lines = [json.dumps({"image": "a", "caption": text}, ensure_ascii=False) + "\n" for text in ["", *texts]]
        path.write_text("".join(lines), encoding="utf-8", newline="\n")
        assert captions(open_source(MINE, str(path))) == [(text,) for text in ["", *texts]]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.csv", "", "t.csv: the table is empty"),
        ("t.jsonl", "\n", "t.jsonl: the table is empty"),
        ("t.csv", "image,caption\na,b\nc\n", "t.csv, line 3: 1 cell, but the header has 2 columns"),
        ("t.csv", 'image,caption\n"a\nb",c\nd,"e\nf\n', "t.csv, line 4: invalid row: unexpected end of data"),
        ("t.csv", "image,caption\na,café\n".encode() + b"b,caf\xe9\n", "invalid row: 'utf-8' codec can't decode byte"),
        ("t.csv", b"image,caption\na,\x81\n", "line 1: invalid row: 'charmap' codec can't decode byte 0x81"),
        ("u.json", b'[{"image": "a", "caption": "\x81"}]', "u.json: not cp1252 text"),
        ("t.jsonl", '{"image": "a", "image": "b", "caption": "c"}\n', "t.jsonl, line 1: the key 'image' appears twice"),
        ("u.json", '[{"image": "a", "caption": "b", "caption": "c"}]', "u.json: the key 'caption' appears twice"),
        ("u.json", "[" * 100_000, "u.json: not JSON, or truncated"),
        ("t.csv", "image,image,caption\na,b,c\n", "t.csv, line 1: column 'image' appears twice"),
        ("t.csv", "image,captoin\na,b\n", "found no caption column"),
        ("t.csv", "image,captoin\na,b\n", "`captions:` in a task file or with NAME=PATH?captions=COLUMN in `data`"),
        ("t.csv", "image,img,caption\na,b,c\n", "several columns could hold the image (image, img)"),
        ("t.csv", "image,img,caption\na,b,c\n", "`images:` in a task file or with NAME=PATH?images=COLUMN in `data`"),
        ("t.jsonl", '{"image": "a", "caption": "b"}\n{"image": "a"\n', "t.jsonl, line 2: not JSON"),
        ("t.jsonl", '{"image": "a", "caption": "b"}\n["a"]\n', "t.jsonl, line 2: expected an object"),
        (
            "t.jsonl",
            '{"image": "a", "caption": "b"}\n{"image": "a"}\n',
            "line 2: no column 'caption'; the columns",
        ),
        ("t.jsonl", '{"image": "a", "caption": 5}\n', "line 1, column caption: expected a caption or a list"),
        ("t.jsonl", '{"image": 5, "caption": "a"}\n', "line 1, column image: expected an image's path"),
        ("t.csv", "image,caption\nhttp://x/a.jpg,b\n", "http://x/a.jpg is a URL: download the images first"),
        ("u.json", '{"a": 1}', "u.json: expected a list of objects, found dict"),
        ("u.json", "[1]", "u.json, row 0: expected an object, found '1'"),
        ("u.json", "[", "u.json: not JSON, or truncated"),
    ],
)
def test_broken_tables_are_named_by_file_and_line(tmp_path: Path, name: str, content: str | bytes, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        list(open_text(tmp_path / name, content).rows())
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_before_a_broken_line_are_given_first(tmp_path: Path) -> None:
    rows = open_text(tmp_path / "t.csv", "image,caption\na,b\nc\n").rows()
    assert next(rows).captions == ("b",)
    with pytest.raises(DataError, match="line 3"):
        next(rows)


def test_a_named_column_that_is_missing_is_never_replaced_by_a_guess(tmp_path: Path) -> None:
    content = "image,caption,alt_text\na,b,c\n"
    with pytest.raises(DataError, match=r"no column 'alt_txt' \(did you mean alt_text\?\); the columns are: image"):
        open_text(tmp_path / "t.csv", content, captions=("alt_txt",))
    dataset, place = parse_location(MINE, f"{tmp_path / 't.csv'}?captions=alt_txt")
    with pytest.raises(DataError, match="no column 'alt_txt'"):
        open_source(dataset, place)
    dataset, place = parse_location(MINE, f"{tmp_path / 't.csv'}?captions=alt_text")
    assert captions(open_source(dataset, place)) == [("c",)]


def test_a_local_table_of_a_hub_dataset_may_have_other_column_names(tmp_path: Path) -> None:
    books = Dataset("books", HubTable("a/b", "main", "train", ("1600px",), ("image_caption",)))
    path = tmp_path / "t.csv"
    path.write_text("image,image_caption,caption\na,own,other\n")
    assert captions(open_source(books, str(path))) == [("own",)]
    path.write_text("image,caption\na,other\n")
    assert captions(open_source(books, str(path))) == [("other",)]


def test_pair_columns_are_not_guessed(tmp_path: Path) -> None:
    pairs = Dataset("pairs", HubTable("a/b", "main", "test", ("one", "two"), ("c1", "c2"), ("kind",)))
    path = tmp_path / "t.csv"
    path.write_text("image,caption,kind\na,b,c\n")
    with pytest.raises(DataError, match="no column 'one'"):
        open_source(pairs, str(path))
    with pytest.raises(DataError, match=r"2 image columns \(image, kind\) with 3 caption columns"):
        open_columns(path, images=("image", "kind"), captions=("image", "caption", "kind"))


def test_a_folder_with_metadata(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,text\npictures/a.png,a dog\n")
    (folder / "other.csv").write_text("x\n")
    (row,) = open_source(MINE, str(folder)).rows()
    assert (row.captions, row.images[0].missing) == (("a dog",), False)
    (folder / "metadata.csv").rename(folder / "mine.csv")
    with pytest.raises(DataError, match=r"several tables \(mine\.csv, other\.csv\): name one of them"):
        open_source(MINE, str(folder))


def test_a_folder_of_images_with_texts(folder: Path) -> None:
    (folder / "pictures/a.txt").write_text("a dog\na red dog\n")
    (folder / "pictures/b.txt").write_text("nobody")
    source = open_source(MINE, str(folder))
    assert [(row.id, row.captions, row.images[0].missing) for row in source.rows()] == [
        ("pictures/a.png", ("a dog", "a red dog"), False),
        ("pictures/b.txt", ("nobody",), True),
    ]
    assert source.provenance.details["problem"] == "1 image without a .txt not used"  # empty.png
    before = source.provenance.fingerprint
    (folder / "pictures/b.txt").write_bytes("un café".encode("latin-1"))
    assert [row.captions for row in open_source(MINE, str(folder)).rows()][1] == ("un café",)
    assert "1 text file read as Windows-1252" in open_source(MINE, str(folder)).provenance.details["problem"]
    assert open_source(MINE, str(folder)).provenance.fingerprint != before


def test_importing_sources_is_cheap() -> None:
    import subprocess
    import sys

    code = "import sys, clipbench.data; print({'torch', 'datasets', 'pyarrow', 'pandas', 'PIL'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
