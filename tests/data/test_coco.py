from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipbench.data import Dataset, open_source
from clipbench.errors import DataError
from tests.data.builders import BROKEN, picture, write_coco

COCO = Dataset("coco", None, layouts=("coco",))
PHOTOS = {
    "b.jpg": (picture((1, 2, 3)), ["a red bus", "a bus"]),
    "a.jpg": (None, ["nobody saw it"]),
    "c.jpg": (picture((4, 5, 6)), []),
}


def test_rows_are_images_in_file_order_with_captions_in_file_order(tmp_path: Path) -> None:
    source = open_source(COCO, str(write_coco(tmp_path, PHOTOS)))
    rows = list(source.rows())
    assert [(row.id, row.captions) for row in rows] == [
        ("1", ("a red bus", "a bus")),
        ("2", ("nobody saw it",)),
        ("3", ()),
    ]
    assert [(image.key, image.missing) for row in rows for image in row.images] == [
        ("b.jpg", False),
        ("a.jpg", True),
        ("c.jpg", False),
    ]
    assert rows[0].images[0].open().getpixel((0, 0)) == (1, 2, 3)
    with pytest.raises(DataError, match=r"a\.jpg: no such image file"):
        rows[1].images[0].open()


@pytest.mark.parametrize("place", ["", "annotations", "annotations/captions_val2017.json"])
def test_root_annotations_folder_and_file_mean_the_same(tmp_path: Path, place: str) -> None:
    write_coco(tmp_path, PHOTOS)
    source = open_source(COCO, str(tmp_path / place))
    assert sum(not row.images[0].missing for row in source.rows()) == 2
    assert source.provenance.layout == "coco"
    assert source.provenance.details["split"] == "val2017"


def test_val_is_meant_where_train_is_there_too(tmp_path: Path) -> None:
    write_coco(tmp_path, PHOTOS)
    write_coco(tmp_path, {"t.jpg": (picture(), ["trained on"])}, split="train2017")
    assert open_source(COCO, str(tmp_path)).provenance.details["split"] == "val2017"
    train = open_source(COCO, str(tmp_path / "annotations/captions_train2017.json"))
    assert [row.images[0].key for row in train.rows()] == ["t.jpg"]
    assert train.provenance.details["split"] == "train2017"
    (tmp_path / "annotations/captions_val2017.json").rename(tmp_path / "annotations/captions_val2014.json")
    with pytest.raises(DataError, match="several caption files"):
        open_source(COCO, str(tmp_path))


def test_images_are_listed_once_and_only_asked_for_rows_that_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = {f"{n}.jpg": (BROKEN, [f"caption {n}"]) for n in range(50)}
    source = open_source(COCO, str(write_coco(tmp_path, photos)))
    listed: list[object] = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or listdir(path))
    assert not list(source.rows(keep=lambda captions: False))
    assert listed == []
    (row,) = source.rows(keep=lambda captions: captions == ("caption 7",))
    assert len(list(source.rows())) == 50
    assert len(listed) == 1
    with pytest.raises(DataError, match=r"^7\.jpg: "):
        row.images[0].open()


def test_equal_captions_have_equal_fingerprints(tmp_path: Path) -> None:
    first = open_source(COCO, str(write_coco(tmp_path / "one", PHOTOS))).provenance.fingerprint
    again = open_source(COCO, str(write_coco(tmp_path / "two", PHOTOS))).provenance.fingerprint
    other = open_source(COCO, str(write_coco(tmp_path / "three", {"b.jpg": (None, ["x"])}))).provenance.fingerprint
    assert first == again != other


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not JSON, or truncated"),
        ("[]", "not COCO captions"),
        ('{"images": [{"id": 1}], "annotations": []}', "KeyError: 'file_name' at {'id': 1}"),
        ('{"images": [], "annotations": [{"image_id": 4, "caption": "a"}]}', "annotations of image 4"),
        (
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "caption": 5}]}',
            "caption 5 is not a string",
        ),
    ],
)
def test_broken_caption_files_are_named(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "captions_val2017.json"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        open_source(COCO, str(path))
    assert str(caught.value).startswith(str(path))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_id_that_two_images_have_is_refused(tmp_path: Path) -> None:
    """The last one won: its captions were scored against another image."""
    images = [{"id": 7, "file_name": "a.jpg"}, {"id": 7, "file_name": "b.jpg"}]
    content = {"images": images, "annotations": [{"id": 1, "image_id": 7, "caption": "a dog"}]}
    (tmp_path / "captions_val2017.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"two images have the id 7: a\.jpg and b\.jpg$"):
        open_source(COCO, str(tmp_path))
    text = '{"images": [{"id": 7, "file_name": "a.jpg", "file_name": "b.jpg"}], "annotations": []}'
    (tmp_path / "captions_val2017.json").write_text(text)
    with pytest.raises(DataError, match="key 'file_name' appears twice"):
        open_source(COCO, str(tmp_path))


def test_annotation_ids_that_are_used_twice_are_said_and_all_captions_are_used(tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": "a.jpg"}]
    annotations = [{"id": n // 2, "image_id": 7, "caption": f"a dog {n}"} for n in range(5)]
    content = {"images": images, "annotations": annotations}
    (tmp_path / "captions_val2017.json").write_text(json.dumps(content))
    source = open_source(COCO, str(tmp_path))
    assert [row.captions for row in source.rows()] == [tuple(f"a dog {n}" for n in range(5))]
    assert source.provenance.details["problem"].startswith("2 annotation ids used more than once (0: 2 times)")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_file_name_may_name_a_regular_file_only(tmp_path: Path) -> None:
    """``/dev/zero`` was read without an end, and a FIFO waited for."""
    (tmp_path / "val2017").mkdir()
    os.mkfifo(tmp_path / "val2017/fifo.jpg")
    images = [{"id": 1, "file_name": "/dev/zero"}, {"id": 2, "file_name": "fifo.jpg"}]
    content = {"images": images, "annotations": [{"image_id": n, "caption": "a dog"} for n in (1, 2)]}
    (tmp_path / "captions_val2017.json").write_text(json.dumps(content))
    for row in open_source(COCO, str(tmp_path)).rows():
        for read in (row.images[0].open, row.images[0].content):
            with pytest.raises(DataError, match="not a regular file$"):
                read()
    (tmp_path / "captions_val2017.json").unlink()
    os.mkfifo(tmp_path / "captions_val2017.json")
    with pytest.raises(DataError):
        open_source(COCO, str(tmp_path))


def test_fields_are_refused_with_what_there_is(tmp_path: Path) -> None:
    source = open_source(COCO, str(write_coco(tmp_path, PHOTOS)))
    with pytest.raises(DataError, match="cannot be filtered by concept: this data has no fields"):
        source.rows(where={"concept": "color"})


@pytest.fixture
def official() -> Path:
    path = os.environ.get("CLIPBENCH_TEST_DATA")
    if not path:
        pytest.skip("CLIPBENCH_TEST_DATA does not name a copy of COCO 2017")
    return Path(path)


def test_the_official_file(official: Path) -> None:
    source = open_source(COCO, str(official))
    rows = list(source.rows())
    assert len(rows) == 5000
    assert sum(len(row.captions) for row in rows) == 25014
    content = json.loads((official / "annotations/captions_val2017.json").read_bytes())
    assert [row.id for row in rows] == [str(image["id"]) for image in content["images"]]
    first = [entry["caption"] for entry in content["annotations"] if str(entry["image_id"]) == rows[0].id]
    assert rows[0].captions == tuple(first)
    present = [row.images[0] for row in rows if not row.images[0].missing]
    assert {image.key for image in present} == {file.name for file in (official / "val2017").iterdir()}
    for image in present[:20]:
        with Image.open(official / "val2017" / image.key) as plain:
            assert np.array_equal(np.asarray(image.open()), np.asarray(plain.convert("RGB")))
