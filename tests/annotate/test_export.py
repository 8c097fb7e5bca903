"""The exported benchmark: InpaintCOCO's columns, read by others and our own tasks; nothing breaks a rule."""

import io
import json
import os
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

import clipbench
from clipbench.annotate.export import export_set
from clipbench.annotate.publish import set_upload
from clipbench.annotate.review import Reviewer
from clipbench.annotate.session import Session
from clipbench.concepts import load_concept
from clipbench.data import open_source
from clipbench.errors import ConfigError, DataError, ResultError
from tests.annotate.builders import FREE, finish, make_set, repaint, write_photographs

# PAPER §2 of the published set: column names, and the fields of coco_details.
COLUMNS = [
    "concept", "coco_caption", "coco_image", "inpaint_caption", "inpaint_image", "mask", "worker", "coco_details",
    "inpaint_details", "mask_details",
]  # fmt: skip
COCO_DETAILS = {
    "captions", "coco_url", "date_captured", "flickr_url", "height", "id", "image_license", "text_license", "width",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A set with a pair of Anna's, one of Bert's, and a proposal."""
    with make_set(tmp_path) as store:
        finish(Session(store, "Anna"))
        finish(Session(store, "Bert"), "red", "okay")
        finish(Session(store, "program", origin="proposed"), "blue")
    return tmp_path / "set"


def rows(folder):
    return datasets.load_dataset("parquet", data_files=str(folder / "data" / "*.parquet"), split="train")


def test_names_and_types_are_the_published_ones(folder):
    export_set(folder)
    table = rows(folder)
    assert table.column_names == COLUMNS
    for name in ("coco_image", "inpaint_image", "mask"):
        assert isinstance(table.features[name], datasets.Image)
    assert set(table.features["coco_details"]) == COCO_DETAILS
    assert table.features["coco_details"]["captions"] == datasets.List(datasets.Value("string"))
    for name in ("id", "height", "width"):
        assert table.features["coco_details"][name] == datasets.Value("int64")


def test_what_is_in_a_row(folder, tmp_path):
    export_set(folder)
    first = rows(folder)[0]
    number = first["coco_details"]["id"]
    original = tmp_path / "coco" / "val2017" / f"{number:012d}.jpg"
    before, after, mask = (np.asarray(first[name]) for name in ("coco_image", "inpaint_image", "mask"))
    assert np.array_equal(before, np.asarray(Image.open(original)))
    assert mask.shape == (30, 40, 3)
    assert set(np.unique(mask)) == {0, 255}
    outside = mask[..., 0] == 0
    assert np.array_equal(before[outside], after[outside])
    assert not np.array_equal(before, after)
    assert first["coco_caption"] == f"A white cat number {number - 1}."
    assert first["inpaint_caption"] == f"A black cat number {number - 1}."
    assert first["worker"] == "Anna"
    assert first["coco_details"] == {
        "captions": [first["coco_caption"], "A cat."], "coco_url": f"http://coco/{number:012d}.jpg",
        "date_captured": "2013-11-14", "flickr_url": f"http://flickr/{number:012d}.jpg", "height": 30, "id": number,
        "image_license": "Attribution License", "text_license": "Creative Commons Attribution 4.0 License", "width": 40,
    }  # fmt: skip
    details = first["inpaint_details"]
    assert (details["prompt"], details["seed"], details["seeds_used"]) == (first["inpaint_caption"], 1, [0, 1, 2])
    assert (details["model"], details["quality"], details["origin"]) == ("test", "very good", "person")
    assert (first["mask_details"]["prompt"], first["mask_details"]["width_factor"]) == ("cat", 2)


def test_what_a_pipeline_says_of_itself_is_in_the_published_fields(folder):
    from clipbench.annotate.store import Store

    says = {"inpainter": "/home/me/sd2", "revision": "abc", "steps": 50, "guidance_scale": 7.5, "dtype": "float32"}
    with Store(folder) as store, store.transaction() as db:
        db.execute("UPDATE candidates SET details = ? WHERE pair = 1", (json.dumps(says),))
    export_set(folder)
    details = rows(folder)[0]["inpaint_details"]
    assert (details["num_inference_steps"], details["guidance_scale"]) == (50, 7.5)
    assert (details["model"], details["revision"]) == ("sd2", "abc")
    assert json.loads(details["settings"]) == {"steps": 50, "guidance_scale": 7.5, "dtype": "float32"}
    assert rows(folder)[1]["inpaint_details"]["num_inference_steps"] is None


def test_the_file_of_the_photograph_is_in_the_table_as_it_was(folder, tmp_path):
    export_set(folder)
    for row in pq.read_table(folder / "data" / "test-00000-of-00001.parquet").to_pylist():
        name = f"{row['coco_details']['id']:012d}.jpg"
        assert row["coco_image"]["bytes"] == (tmp_path / "coco" / "val2017" / name).read_bytes()
        assert Image.open(io.BytesIO(row["inpaint_image"]["bytes"])).format == "PNG"


def test_datasets_reads_it_as_a_repository_and_writes_it_again(folder, tmp_path):
    export_set(folder)
    table = datasets.load_dataset(str(folder), split="test")
    table.to_parquet(tmp_path / "again.parquet")
    again = datasets.load_dataset("parquet", data_files=str(tmp_path / "again.parquet"), split="train")
    assert again.features == table.features
    for name in COLUMNS:
        if not isinstance(table.features[name], datasets.Image):
            assert again[name][:] == table[name][:]
    assert np.array_equal(np.asarray(again[0]["inpaint_image"]), np.asarray(table[0]["inpaint_image"]))


def test_inpaintcocos_own_reader_reads_it(folder):
    from clipbench.task_types.registry import find_task

    export_set(folder)
    task = find_task("inpaintcoco_color")
    samples = list(task.samples(open_source(task.dataset, str(folder))))
    assert len(samples) == 2
    assert [sample.texts[1].split()[1] for sample in samples] == ["black", "red"]
    assert all(sample.images[0].open().size == (40, 30) for sample in samples)


def test_the_task_scores_at_once(folder):
    exported = export_set(folder)
    results = clipbench.evaluate("demo", str(folder / "task.yaml"))
    assert results.failed == []
    assert results.metric(exported.name, "acc") is not None
    assert exported.name == "set_color"
    assert yaml.safe_load((folder / "task.yaml").read_text())["expected_n"] == 2


def test_proposals_only_if_asked_for_or_accepted(folder):
    exported = export_set(folder)
    assert [pair.annotator for pair in exported.pairs] == ["Anna", "Bert"]
    assert exported.counts == {"annotated": 2, "unreviewed": 1}
    assert len(export_set(folder, include_unreviewed=True).pairs) == 3
    from clipbench.annotate.store import Store

    with Store(folder) as store:
        Reviewer(store, "Carl").review(3, "accept", "A very blue cat.")
        Reviewer(store, "Carl").review(1, "reject")
    assert [pair.annotator for pair in export_set(folder).pairs] == ["Bert", "program"]
    assert rows(folder)["inpaint_caption"][1] == "A very blue cat."
    assert [each["review"] for each in rows(folder)["inpaint_details"]] == ["annotated", "accepted"]


def test_a_pair_that_differs_outside_of_its_mask_is_named_and_left_out(folder):
    from clipbench.annotate.store import Store

    with Store(folder) as store:
        pair = Session(store, "Anna").pair(1)
        image = store.image(pair.image)
        wrong = repaint(image, store.mask(pair.choice.mask))
        wrong.putpixel((0, 0), (1, 2, 3))
        with store.transaction() as db:
            db.execute("UPDATE candidates SET image = ? WHERE id = ?", (store.put_image(wrong), pair.chosen))
    exported = export_set(folder)
    assert [pair.id for pair in exported.pairs] == [2]
    (broken,) = exported.broken
    assert broken.startswith("pair 1 (photograph ")
    assert "1 of 1,200 pixels differ" in broken


def test_a_picture_that_is_not_changed_and_one_that_is_gone_are_named(folder):
    from clipbench.annotate.store import Store

    with Store(folder) as store:
        one, two = Session(store, "Anna").pair(1), Session(store, "Anna").pair(2)
        with store.transaction() as db:
            db.execute("UPDATE candidates SET image = ? WHERE id = ?", (one.image, one.chosen))
        store.image_path(two.choice.image).unlink()
    exported = export_set(folder, include_unreviewed=True)
    assert [pair.id for pair in exported.pairs] == [3]
    assert "not changed" in exported.broken[0]
    assert "no such image file" in exported.broken[1]


def test_nothing_to_export_says_what_there_is(tmp_path):
    with make_set(tmp_path) as store:
        with pytest.raises(DataError, match="no pair has been begun"):
            export_set(tmp_path / "set")
        Session(store, "Anna").next()
        finish(Session(store, "program", origin="proposed"))
        with pytest.raises(DataError, match="2 pairs: 1 unfinished, 1 unreviewed; include_unreviewed"):
            export_set(tmp_path / "set")
    with pytest.raises(ConfigError, match="no set of annotations"):
        export_set(tmp_path / "coco")


def test_the_card(folder):
    from huggingface_hub import DatasetCard

    from clipbench.annotate.store import Store

    with Store(folder) as store:
        Reviewer(store, "Carl").review(1, "accept")
        Reviewer(store, "Dora").review(1, "accept")
        with store.transaction() as db:
            db.execute("UPDATE candidates SET details = ? WHERE pair = 3", (json.dumps({"selected_by": "me/clip"}),))
            db.execute("UPDATE pairs SET annotator = '<b>|Bert*' WHERE annotator = 'Bert'")
    export_set(folder, include_unreviewed=True)
    card = DatasetCard.load(folder / "README.md")
    assert card.data.license == "other"
    assert "Do not rank that model by this set" in card.text
    assert "me/clip" in card.text
    assert "| Attribution License | 3 |" in card.text
    for number in (1, 2, 3):
        row = rows(folder)[number - 1]["coco_details"]
        assert f"| {row['id']} | Attribution License | {row['flickr_url']} |".replace("_", r"\_") in card.text
    assert "Cohen's kappa on accepting pairs" in card.text
    assert "<b>" not in card.text
    assert str(folder.parent) not in card.text


def test_what_else_is_in_the_folder_stays(folder):
    (folder / "data").mkdir()
    (folder / "data" / "mine.jpg").write_text("a photograph")
    export_set(folder)
    assert (folder / "data" / "mine.jpg").read_text() == "a photograph"
    for name in ("README.md", "task.yaml"):
        kept = (folder / name).read_text()
        (folder / name).write_text("something else")
        with pytest.raises(ResultError, match=f"{name}: was not written by an export"):
            export_set(folder)
        assert (folder / name).read_text() == "something else"
        (folder / name).write_text(kept)
    export_set(folder)


def test_two_exports_are_equal(folder):
    files = ("data/test-00000-of-00001.parquet", "README.md", "task.yaml")
    export_set(folder)
    before = [(folder / name).read_bytes() for name in files]
    export_set(folder)
    assert [(folder / name).read_bytes() for name in files] == before


def test_a_concept_of_ones_own(tmp_path):
    (tmp_path / "material.yaml").write_text("name: material\nmutual: [wooden, metal]\n")
    write_photographs(tmp_path / "coco", [(["A wooden door."], FREE)])
    with make_set(tmp_path, concept=str(tmp_path / "material.yaml")) as store:
        assert store.concept.replacements == load_concept(str(tmp_path / "material.yaml")).replacements
        finish(Session(store, "Anna"), "metal")
    exported = export_set(tmp_path / "set")
    assert rows(tmp_path / "set")["concept"][:] == ["material"]
    assert clipbench.evaluate("demo", str(tmp_path / "set" / "task.yaml")).failed == []
    assert exported.name == "set_material"


def test_what_is_pushed(folder):
    with pytest.raises(ResultError, match="export the set first"):
        set_upload(folder, "me/set")
    export_set(folder)
    upload = set_upload(folder, "me/set")
    assert sorted(upload.files) == ["README.md", "data/test-00000-of-00001.parquet", "task.yaml"]
    assert upload.repo_type == "dataset"
    with pytest.raises(ConfigError, match="dataset_repo 'me'"):
        set_upload(folder, "me")


@pytest.mark.skipif(os.name == "nt", reason="no colon in names")
def test_a_folder_whose_name_looks_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with make_set(tmp_path) as store:
        finish(Session(store, "Anna"))
    (tmp_path / "set").rename(tmp_path / "s3:x")
    assert len(export_set(Path("s3:x")).pairs) == 1
