"""Every compositional benchmark in its authors' layout, scored by models whose scores are known."""

import json
import math

import numpy as np
import pytest

import clipbench
from clipbench.data.location import parse_location
from clipbench.data.opening import open_source
from clipbench.task_types.registry import select_tasks
from tests.data import benchmarks
from tests.data.benchmarks import COUNT
from tests.oracles import oracle, unit

LARGER = {"vl_checklist_object": 2, "vl_checklist_relation_action": 2} | {
    f"vl_checklist_attribute_{kind}": 2 for kind in ("action", "color", "material", "size", "state")
}  # parts that are spread over files


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A copy of every benchmark, and which image each true caption belongs to."""
    root, made = tmp_path_factory.mktemp("benchmarks"), benchmarks.World()
    for name, write in benchmarks.WRITERS.items():
        write(root / name, made)
    return root, made.owners


def run(world, kind):
    """Results of all compositional tasks, and the outcomes."""
    root, owners = world
    outcomes = {}
    results = clipbench.evaluate(
        oracle(kind, owners),
        "compositional",
        data=data_of(root, *benchmarks.WRITERS),
        allow_missing=True,
        on_sample=lambda task, outcome: outcomes.setdefault(task, []).append(outcome),
    )
    return results.tasks, outcomes


def test_there_are_fifty_of_them_and_sixteen_in_the_papers_table():
    assert len(select_tasks("compositional")) == 7 + 5 + 4 + 1 + 1 + 1 + 1 + 3 + 8 + 6 + 11 + 1 + 1
    assert len(select_tasks("table6")) == 4 + 8 + 3 + 1
    assert {task.name.partition("_")[0] for task in select_tasks("table6")} == {"aro", "vl", "svo", "winoground"}
    assert len(select_tasks("sugarcrepe")) == 7
    assert len(select_tasks("aro")) == 4


def test_every_benchmark_declares_what_a_reader_needs():
    for task in select_tasks("compositional"):
        declared = task.dataset
        assert all((declared.license, declared.citation, declared.instructions)), task.name
        assert declared.homepage.startswith("https://")
        assert 0 < task.chance < 1
        assert task.expected_n or declared.name in ("svo_probes", "vl_checklist"), task.name
        assert task.__doc__


def test_a_perfect_model_is_perfect(world):
    tasks, outcomes = run(world, "perfect")
    assert len(tasks) == 50
    for name, task in tasks.items():
        assert task.error is None, task.error
        assert {measure.value for measure in task.metrics.values()} == {1.0}, name
        assert (task.tied, task.invalid, task.missing_images) == (0, 0, 0)
        assert task.counts.effective == task.counts.original == COUNT * LARGER.get(name, 1), name
        (declared,) = select_tasks(name)
        assert task.chance == pytest.approx(declared.chance), name
        if declared.expected_n:
            assert f"{COUNT} samples where {declared.expected_n:,} are expected" in " ".join(task.problems)
    assert len({outcome.sample_id for outcome in outcomes["vl_checklist_object"]}) == 2 * COUNT


@pytest.mark.parametrize(("kind", "tied"), [("constant", True), ("reversed", False)])
def test_a_constant_model_and_a_reversed_one_are_never_right(world, kind, tied):
    tasks, outcomes = run(world, kind)
    for name, found in outcomes.items():
        assert all(value == 0 for outcome in found for value in outcome.values.values()), name
        assert {outcome.tied for outcome in found} == {tied}, name
    assert {task.primary.value for task in tasks.values()} == {0.0}


def test_a_model_of_nans_scores_nothing_and_says_where(world):
    tasks, outcomes = run(world, "nan")
    assert not outcomes
    for task in tasks.values():
        assert "is not finite" in task.error
        assert task.primary is None or math.isnan(task.primary.value)


def test_a_random_model_scores_what_its_features_give(world):
    """Each decision, worked out anew from the oracle's features alone."""
    tasks, outcomes = run(world, "random")
    _, owners = world

    def similar(number, text):
        return float(unit(f"image {number}") @ unit(text))

    decided = 0
    for name, found in outcomes.items():
        task_type = tasks[name].task_type
        for outcome in found:
            texts = outcome.record["texts"]
            mine = [owners[text] for text in texts if text in owners]
            if task_type == "choice":
                scores = [similar(mine[0], text) for text in texts]
                true = outcome.record["true_texts"]
                right = min(scores[:true]) > max(scores[true:])
            elif task_type == "pairs":
                (a, b), (first, second) = mine, texts
                right = similar(a, first) > similar(b, first) and similar(b, second) > similar(a, second)
            else:
                right = similar(mine[0], texts[0]) > similar(mine[0] + 1, texts[0])  # written next to one another
            assert outcome.values["acc"] == right, (name, outcome.sample_id)
            decided += 1
        assert tasks[name].primary.value == pytest.approx(np.mean([outcome.values["acc"] for outcome in found]))
    assert decided == sum(task.counts.effective for task in tasks.values())


def test_breakdowns_are_by_what_the_benchmarks_tell_of_a_row(world):
    tasks, _ = run(world, "perfect")
    parts = {name: set(task.breakdown) for name, task in tasks.items()}
    assert parts["winoground"] == {"Noun", "Object"}
    assert parts["aro_vg_relation"] == {"on 0", "on 1"}
    assert parts["aro_vg_attribution"] == {"red_old 0", "red_old 1"}
    assert parts["bivlc"] == {"swap"}
    assert parts["vismin"] == {"count"}
    assert parts["mmvp_vlm"] == {"Camera Perspective", "Color", "Orientation"}
    assert parts["vl_checklist_attribute_color"] == {"Attribute/vg/color", "Attribute/vaw/color"}


def test_fewer_files_and_rows_than_published_fail_where_a_number_of_samples_would_not_tell(world):
    root, owners = world
    data = data_of(root, "vl_checklist", "svo_probes")
    results = clipbench.evaluate(oracle("perfect", owners), "vl_checklist_relation_spatial,svo_verb", data=data)
    files, rows = "15 annotation files where 49 are published", "9 rows where 36,841 are published"
    assert results.tasks["vl_checklist_relation_spatial"].error.startswith(
        f"vl_checklist_relation_spatial: {files}; pass"
    )
    assert results.tasks["svo_verb"].error.startswith(f"svo_verb: {rows}; pass allow_missing")
    results = clipbench.evaluate(
        oracle("perfect", owners), "svo_verb", data=data_of(root, "svo_probes"), allow_missing=True
    )
    task = results.tasks["svo_verb"]
    assert (task.primary.value, task.complete, task.problems) == (1.0, False, [rows])


def data_of(root, *names):
    return {name: str(root / name) for name in names}


def rows_of(name, place):
    (task,) = select_tasks(name)
    return task, list(task.samples(open_source(*parse_location(task.dataset, str(place)))))


def test_means_over_relations_weigh_each_the_same(world, tmp_path):
    root, owners = world
    rows = json.loads((root / "aro" / "visual_genome_relation.json").read_text())
    rows[0]["true_caption"], rows[0]["false_caption"] = rows[0]["false_caption"], rows[0]["true_caption"]
    (tmp_path / "visual_genome_relation.json").write_text(json.dumps(rows))
    results = clipbench.evaluate(
        oracle("perfect", owners),
        "aro_vg_relation",
        data={"aro": f"{tmp_path}?images={root / 'aro' / 'images'}"},
        allow_missing=True,
    )
    # Relations: `on 0` of rows 0 and 2, one of them right; `on 1` of row 1.
    assert results.metric("aro_vg_relation", "acc") == pytest.approx(2 / 3)
    assert results.metric("aro_vg_relation", "acc_macro") == pytest.approx((1 / 2 + 1) / 2)


def test_pairs_and_sets_are_right_where_all_their_images_are(tmp_path):
    made = benchmarks.World()
    rows = []
    for thing in ("mug", "hat"):
        options = [f"a {thing} {where} it" for where in ("on", "under", "to the left of", "to the right of")]
        for true in options:
            name = f"controlled_images/{len(rows)}.jpeg"
            made.picture(tmp_path / name, [true])
            rows.append({"image_path": f"data/{name}", "caption_options": sorted(options, key=true.__ne__)})
    options = rows[-1]["caption_options"]
    options[0], options[1] = options[1], options[0]  # the model gets one of the hats wrong
    (tmp_path / "controlled_images_dataset.json").write_text(json.dumps(rows))
    results = clipbench.evaluate(
        oracle("perfect", made.owners), "whatsup_a", data={"whatsup": str(tmp_path)}, allow_missing=True
    )
    task = results.tasks["whatsup_a"]
    assert {name: measure.value for name, measure in task.metrics.items()} == {
        "acc": 7 / 8, "pair_acc": 3 / 4, "set_acc": 1 / 2,
    }  # fmt: skip
    assert {name: part.n for name, part in task.breakdown.items()} == {"left-right": 3, "on-under": 5}
    assert task.clusters == 2


def test_an_image_is_cut_to_its_box(tmp_path):
    from PIL import Image

    picture = Image.new("RGB", (40, 20), "red")
    picture.paste("blue", (20, 0, 40, 20))
    (tmp_path / "images").mkdir()
    picture.save(tmp_path / "images" / "1.png")
    row = {"image_path": "1.png", "true_caption": "blue", "false_caption": "red", "relation_name": "on"}
    box = {"bbox_x": 25, "bbox_y": 5, "bbox_w": 10, "bbox_h": 12}
    other = {"bbox_x": 0, "bbox_y": 0, "bbox_w": 10, "bbox_h": 12}
    (tmp_path / "visual_genome_relation.json").write_text(json.dumps([{**row, **box}, {**row, **other}, row]))
    _, (cut, left, whole) = rows_of("aro_vg_relation", tmp_path)
    assert cut.images[0].open().size == (10, 12)
    assert cut.images[0].open().getcolors() == [(120, (0, 0, 255))]
    assert whole.images[0].open().size == (40, 20)
    assert len({one.images[0].key for one in (cut, left, whole)}) == 3
    assert len({one.images[0].content() for one in (cut, left, whole)}) == 3
    assert {one.cluster for one in (cut, left, whole)} == {"1.png"}  # parts of one photograph are not independent


def test_rows_that_annotators_refused_are_left_out(world):
    root, _ = world
    task, samples = rows_of("valse_plurals", root / "valse")
    assert len(samples) == COUNT
    assert all(len(sample.texts) == 2 for sample in samples)
    assert task.where == {"part": "plurals", "valid": True}


def test_copies_of_the_hub_are_read_by_part(tmp_path):
    made = benchmarks.World()
    benchmarks.hub_copy(tmp_path / "sugarcrepe", made)
    benchmarks.aro_hub(tmp_path / "aro", made)
    _, samples = rows_of("sugarcrepe_swap_obj", tmp_path / "sugarcrepe")
    assert list(samples[0].texts) == ["hub swap_obj 0", "no hub swap_obj 0"]
    assert len(samples) == COUNT
    _, samples = rows_of("aro_vg_attribution", tmp_path / "aro")
    assert [sample.group for sample in samples] == ["old_0", "old_1", "old_0"]


def test_sugarcrepe_pp_counts_what_cannot_be_judged(world, tmp_path):
    root, owners = world
    rows = json.loads((root / "sugarcrepe_pp" / "data" / "swap_obj.json").read_text())
    rows[0]["negative_caption"] = rows[0]["caption"] + " "
    rows[1]["caption2"] = rows[1]["caption"]
    (tmp_path / "swap_obj.json").write_text(json.dumps(rows))
    results = clipbench.evaluate(
        oracle("perfect", owners),
        "sugarcrepe_pp_swap_object",
        data={"sugarcrepe_pp": f"{tmp_path}?images={root / 'sugarcrepe_pp' / 'val2017'}"},
        allow_missing=True,
    )
    task = results.tasks["sugarcrepe_pp_swap_object"]
    assert (task.invalid, task.counts.effective, task.primary.value) == (2, 1, 1.0)
    told = " ".join(task.problems)
    assert "0: a false caption is the same as a true one, 1: two true captions are the same" in told


BAD = [
    ("sugarcrepe", "swap_obj.json", "[", "swap_obj.json: not JSON, or truncated"),
    ("sugarcrepe", "swap_obj.json", "3", "swap_obj.json: expected a list or an object of entries, found '3'"),
    ("sugarcrepe", "swap_obj.json", '{"7": []}', r"swap_obj.json, entry 7: expected an object, found '\[\]'"),
    ("sugarcrepe", "swap_obj.json", '{"7": {"filename": "a"}}', "entry 7: no 'caption' among filename"),
    ("sugarcrepe", "swap_obj.json", '[{"caption": 3}]', "entry 0: 'caption' is not a text but '3'"),
    ("sugarcrepe", "swap_obj.json", '[{"caption2": ""}]', r"this is SugarCrepe\+\+, `data` sugarcrepe_pp=PATH"),
    ("sugarcrepe_pp", "swap_obj.json", '[{"caption": "a"}]', "entry 0: no 'caption2' among caption"),
    ("aro", "visual_genome_relation.json", '[{"image_path": "a", "bbox_x": 1}]', r"entry 0: bbox_x, .* are not a box"),
    ("winoground", "examples.jsonl", "{}\n", "examples.jsonl, line 1: no 'image_0' among nothing"),
    ("winoground", "examples.jsonl", "[]\n", "examples.jsonl, line 1: expected an object"),
    ("svo_probes", "svo_probes.csv", "sentence\na\n", "line 2: no 'pos_image_id' among sentence"),
    ("vl_checklist", "Attribute/vg/color.json", '[["a"]]', "entry 0: expected a list of image, texts, found"),
    ("vl_checklist", "Attribute/vg/color.json", '[["a", {"POS": ["b"]}]]', "entry 0: no 'NEG' among POS"),
    ("whatsup", "coco_qa_one_obj.json", '[["a", "b", "c"]]', "entry 0: 'a' is not an image number"),
    ("valse", "existence.json", '{"a": {"caption": "b"}}', "entry a: no votes for the caption under 'mturk'"),
    ("mmvp_vlm", "Questions.csv", "a,b,c\n1,Color,x\n", "Questions.csv: 1 statements, which are not pairs"),
    ("mmvp_vlm", "Questions.csv", "a,b,c\n1,Color\n", "line 2: expected number, pattern, statement"),
    ("cola", "COLA_multiobjects_matching_benchmark.json", '[["a", "b"]]', "expected a list of url_1, caption_1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "content", "message"), BAD)
def test_a_broken_file_is_one_clear_line(tmp_path, name, file, content, message):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(content)
    tasks = {
        "sugarcrepe": "sugarcrepe_swap_obj",
        "sugarcrepe_pp": "sugarcrepe_pp_swap_object",
        "aro": "aro_vg_relation",
    }
    tasks |= {"svo_probes": "svo_verb", "vl_checklist": "vl_checklist_attribute_color", "valse": "valse_existence"}
    tasks["whatsup"] = "whatsup_coco_one"
    with pytest.raises(clipbench.ClipbenchError, match=message) as caught:
        rows_of(tasks.get(name, name), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_of_something_else_is_told_what_is_looked_for(tmp_path):
    (tmp_path / "notes.md").write_text("nothing")
    for name in benchmarks.WRITERS:
        (task, *_) = [one for one in select_tasks("compositional") if one.dataset.name == name]
        with pytest.raises(clipbench.ClipbenchError, match="has no known layout: looked for|found no|no column"):
            open_source(*parse_location(task.dataset, str(tmp_path)))


def test_folders_of_images(world, tmp_path):
    root, _ = world
    (task,) = select_tasks("sugarcrepe_swap_obj")
    with pytest.raises(clipbench.ClipbenchError, match="no such folder of images: .*nowhere"):
        parse_location(task.dataset, f"{root / 'sugarcrepe'}?images={tmp_path / 'nowhere'}")
    with pytest.raises(clipbench.ClipbenchError, match="has no columns to name; `images` may name the folder"):
        rows_of("sugarcrepe_swap_obj", f"{root / 'sugarcrepe'}?images=nowhere")
