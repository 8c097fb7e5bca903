"""SugarCrepe's exact layout over real COCO photographs, against a slow reference on transformers."""

import json

import numpy as np
import pytest

import clipbench
from clipbench.data.location import parse_location
from clipbench.data.opening import open_source
from clipbench.task_types.registry import select_tasks
from tests.reference.clip_scores import ReferenceClip, photographs

PARTS = ("add_att", "swap_obj")


def negatives(captions):
    """Two wrong captions: one with a word added, one with two words swapped."""
    words = captions[0].split()
    return {"add_att": " ".join([words[0], "purple", *words[1:]]), "swap_obj": " ".join([*words[-2:], *words[:-2]])}


@pytest.fixture(scope="module")
def sugarcrepe(tmp_path_factory, coco_folder):
    """The JSON files, keyed as published; and a row whose captions differ in white space alone."""
    folder = tmp_path_factory.mktemp("sugarcrepe")
    for part in PARTS:
        rows = {
            str(place): {"filename": name, "caption": captions[0], "negative_caption": negatives(captions)[part]}
            for place, (name, captions) in enumerate(photographs(coco_folder).items())
        }
        rows["999"] = {**rows["0"], "negative_caption": rows["0"]["caption"].replace(" ", "  ", 1) + "\n"}
        (folder / f"{part}.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def scored(sugarcrepe, coco_folder, tiny_clip):
    outcomes = []
    results = clipbench.evaluate(
        str(tiny_clip),
        ",".join(f"sugarcrepe_{part}" for part in PARTS),
        data={"sugarcrepe": f"{sugarcrepe}?images={coco_folder / 'val2017'}"},
        allow_missing=True,
        on_sample=lambda task, outcome: outcomes.append((task, outcome)),
    )
    assert not results.failed
    return results, outcomes


def test_every_decision_is_the_references(scored, sugarcrepe, coco_folder, tiny_clip):
    results, outcomes = scored
    reference = ReferenceClip(tiny_clip)
    for part in PARTS:
        rows = json.loads((sugarcrepe / f"{part}.json").read_text())
        found = {outcome.sample_id: outcome for task, outcome in outcomes if task == f"sugarcrepe_{part}"}
        assert set(found) == set(rows) - {"999"}
        assert len(found) == 214
        for key, outcome in found.items():
            row = rows[key]
            image = reference.image(coco_folder / "val2017" / row["filename"])
            true, false = reference.texts([row["caption"], row["negative_caption"]]) @ image
            np.testing.assert_allclose(outcome.record["scores"], [true, false], atol=1e-5)
            assert outcome.values["acc"] == (true > false) or abs(true - false) < 1e-5
        mean = np.mean([outcome.values["acc"] for outcome in found.values()])
        assert results.metric(f"sugarcrepe_{part}", "acc") == pytest.approx(mean)


def test_what_cannot_be_judged_and_what_is_not_there_are_counted(scored):
    results, _ = scored
    task = results.tasks["sugarcrepe_add_att"]
    assert (task.counts.original, task.counts.effective, task.invalid, task.missing_images) == (215, 214, 1, 0)
    assert any("215 samples where 692 are expected" in problem for problem in task.problems)
    assert any("999: a false caption is the same as a true one" in problem for problem in task.problems)
    assert (task.chance, task.clusters, task.complete) == (0.5, 214, False)


def test_without_leave_to_miss_rows_nothing_is_scored(sugarcrepe, coco_folder, tiny_clip):
    data = {"sugarcrepe": f"{sugarcrepe}?images={coco_folder / 'val2017'}"}
    results = clipbench.evaluate(str(tiny_clip), "sugarcrepe_swap_obj,sugarcrepe_swap_att", data=data)
    assert "215 samples where 245 are expected" in results.tasks["sugarcrepe_swap_obj"].error
    error = results.tasks["sugarcrepe_swap_att"].error
    assert "nothing here is the part swap_att; the parts here are: add_att, swap_obj" in error


def test_photographs_are_found_beside_the_files_too(sugarcrepe, coco_folder, tmp_path):
    (task,) = select_tasks("sugarcrepe_add_att")
    (tmp_path / "data").mkdir()
    (tmp_path / "val2017").mkdir()
    (tmp_path / "data" / "add_att.json").write_text((sugarcrepe / "add_att.json").read_text())
    name = next(iter(photographs(coco_folder)))
    (tmp_path / "val2017" / name).write_bytes((coco_folder / "val2017" / name).read_bytes())
    for place in (tmp_path, tmp_path / "data" / "add_att.json"):
        source = open_source(*parse_location(task.dataset, str(place)))
        there = {sample.images[0].key for sample in task.samples(source) if not sample.images[0].missing}
        assert there == {name}
