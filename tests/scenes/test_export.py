import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from clipbench.data.layouts.coco import open_layout, recognize
from clipbench.errors import ConfigError, DataError
from clipbench.scenes.export import export_world
from clipbench.scenes.scene import sample_scene
from clipbench.scenes.source import open_edits, open_pictures
from clipbench.scenes.world import EDIT_CONCEPTS, World, edits

INPAINTCOCO_COLUMNS = (
    "concept coco_caption coco_image inpaint_caption inpaint_image mask worker"
    " coco_details inpaint_details mask_details"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("world")
    steps = []
    export_world(directory, split="val", size=6, pairs=3, seed=2, progress=steps.append)
    assert steps == [1] * (6 + 3 * 3)
    return directory


def bytes_of(image):
    return np.asarray(image.convert("RGB")).tobytes()


def test_captions_come_back_through_the_coco_reader(folder):
    rows = list(open_layout(recognize(folder), str(folder)).rows())
    world = World("val", 6, seed=2)
    assert [row.captions for row in rows] == [picture.captions for picture in world]
    assert not any(ref.missing for row in rows for ref in row.images)
    assert [bytes_of(row.images[0].open()) for row in rows] == [bytes_of(picture.draw()) for picture in world]


def test_captions_are_official_coco_json(folder):
    content = json.loads((folder / "annotations/captions_val.json").read_text())
    assert {"info", "licenses", "images", "annotations"} == set(content)
    assert [image["id"] for image in content["images"]] == list(range(6))
    assert content["images"][0]["width"] == content["images"][0]["height"] == 128
    assert len({entry["id"] for entry in content["annotations"]}) == 30


def test_pairs_have_inpaintcocos_columns_and_come_back(folder):
    table = pq.read_table(folder / "inpaint/val-00000-of-00001.parquet")
    assert table.column_names == INPAINTCOCO_COLUMNS.split()
    rows = table.to_pylist()
    made = [pair for concept in EDIT_CONCEPTS for pair in edits("val", 3, concept, seed=2)]
    assert [row["concept"] for row in rows] == [pair.concept for pair in made]
    for row, pair in zip(rows, made, strict=True):
        assert (row["coco_caption"], row["inpaint_caption"]) == (pair.caption_before, pair.caption_after)
        before, after, mask = (
            np.asarray(Image.open(io.BytesIO(row[column]["bytes"])))
            for column in ("coco_image", "inpaint_image", "mask")
        )
        assert [before.tobytes(), after.tobytes()] == [bytes_of(image) for image in pair.draw()]
        assert mask.shape == (128, 128, 3)
        assert not (before != after)[mask == 0].any()
    assert {len({row[column]["path"] for row in rows}) for column in ("inpaint_image", "mask")} == {9}


def test_the_datasets_library_shows_images(folder, tmp_path):
    from datasets import load_dataset

    rows = load_dataset("parquet", data_files=str(folder / "inpaint/*.parquet"), split="train", cache_dir=str(tmp_path))
    assert rows[0]["coco_image"].size == rows[0]["mask"].size == (128, 128)
    assert rows[0]["coco_details"]["captions"] == [rows[0]["coco_caption"]]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        export_world(tmp_path / "file", size=1, pairs=1)
    with pytest.raises(ConfigError, match="split"):
        export_world(tmp_path / "other", split="everything")


def test_sources_give_the_world_without_files():
    rows = list(open_pictures("test", 4).rows())
    assert [row.captions for row in rows] == [picture.captions for picture in World("test", 4)]
    assert bytes_of(rows[3].images[0].open()) == bytes_of(World("test", 4)[3].draw())
    assert rows[3].images[0].key == sample_scene("test", 0, 3).key
    pairs = list(open_edits("test", 2).rows(where={"concept": "size"}))
    assert [row.captions for row in pairs] == [
        (pair.caption_before, pair.caption_after) for pair in edits("test", 2, "size")
    ]
    assert bytes_of(pairs[0].images[0].open()) != bytes_of(pairs[0].images[1].open())
    assert len(list(open_edits("test", 2).rows())) == 6
    assert open_pictures("test", 4).provenance.fingerprint != open_pictures("test", 5).provenance.fingerprint


def test_one_key_means_one_picture():
    pictures = {}
    for source in (open_pictures("test", 8), open_edits("test", 5)):
        for row in source.rows():
            for ref in row.images:
                assert pictures.setdefault(ref.key, bytes_of(ref.open())) == bytes_of(ref.open())
