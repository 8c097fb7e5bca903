"""Retrieval as the field does it, and InpaintCOCO in 14 languages, from their published layouts."""

import json

import datasets
import pytest
import yaml
from datasets import Features, Image, Value

import clipbench
from clipbench.data.location import parse_location
from clipbench.data.opening import open_source
from clipbench.errors import ConfigError, DataError
from clipbench.task_types.registry import select_tasks
from tests.data.benchmarks import World
from tests.data.builders import cell
from tests.oracles import oracle

LANGUAGES = ("en", "cs", "ro", "de", "it", "az", "el", "ja", "sk", "vi", "uk", "ar", "ru", "hi")


def samples_of(name, place):
    (task,) = select_tasks(name)
    return list(task.samples(open_source(*parse_location(task.dataset, str(place)))))


def karpathy(folder, world, name, captions=6):
    """Karpathy's file with a photograph a split; COCO's entries name the folder of the photograph."""
    images = []
    for row, split in enumerate(("train", "restval", "val", "test", "test")):
        texts = [f"{name} {row} caption {number}" for number in range(captions)]
        entry = {"filename": f"{name}_{row}.jpg", "imgid": row, "split": split}
        entry["sentences"] = [{"tokens": text.split(), "raw": text, "imgid": row} for text in texts]
        if name == "coco":
            entry |= {"filepath": "val2014", "cocoid": row}
        world.picture(folder / ("val2014" if name == "coco" else "flickr30k-images") / entry["filename"], texts)
        images.append(entry)
    (folder / f"dataset_{name}.json").write_text(json.dumps({"dataset": name, "images": images}))


@pytest.mark.parametrize(("name", "expected"), [("coco", "5,000"), ("flickr30k", "1,000")])
def test_karpathys_test_split_with_the_first_five_captions(tmp_path, name, expected):
    world = World()
    karpathy(tmp_path, world, name)
    for place in (tmp_path, tmp_path / f"dataset_{name}.json"):
        samples = samples_of(f"{name}_karpathy", place)
        assert [sample.id.rpartition("/")[2] for sample in samples] == [f"{name}_3.jpg", f"{name}_4.jpg"]
        assert list(samples[0].texts) == [f"{name} 3 caption {number}" for number in range(5)]
        assert not any(sample.images[0].missing for sample in samples)
    data = {f"{name}_karpathy": str(tmp_path)}
    results = clipbench.evaluate(oracle("perfect", world.owners), f"{name}_karpathy", data=data, allow_missing=True)
    task = results.tasks[f"{name}_karpathy"]
    assert {measure.value for measure in task.metrics.values()} == {1.0}
    assert f"2 samples where {expected} are expected" in " ".join(task.problems)


def test_photographs_of_a_split_may_be_elsewhere(tmp_path):
    world = World()
    karpathy(tmp_path / "coco", world, "coco")
    (tmp_path / "coco" / "dataset_coco.json").rename(tmp_path / "dataset_coco.json")
    samples = samples_of("coco_karpathy", f"{tmp_path / 'dataset_coco.json'}?images={tmp_path / 'coco' / 'val2014'}")
    assert all(sample.images[0].missing for sample in samples)  # the file says val2014/coco_3.jpg
    samples = samples_of("coco_karpathy", f"{tmp_path / 'dataset_coco.json'}?images={tmp_path / 'coco'}")
    assert not any(sample.images[0].missing for sample in samples)


def test_the_first_caption_alone(coco_folder):
    everything, first = samples_of("coco_retrieval", coco_folder), samples_of("coco_retrieval_first", coco_folder)
    assert (len(everything), len(first)) == (5_000, 5_000)
    assert sum(len(sample.texts) for sample in everything) == 25_014
    assert [list(sample.texts) for sample in first] == [list(sample.texts)[:1] for sample in everything]


def write_retrieval(folder, world, **task):
    rows = []
    for row in range(4):
        texts = [f"{row} first", f"{row} second"]
        world.picture(folder / f"{row}.png", texts)
        rows.append({"image": f"{row}.png", "captions": texts})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    declared = {"name": "toy", "task_type": "retrieval", "dataset": {"path": "rows.jsonl"}, **task}
    (folder / "toy.yaml").write_text(yaml.safe_dump(declared))
    return str(folder / "toy.yaml")


def test_captions_and_k_may_be_chosen(tmp_path):
    world = World()
    file = write_retrieval(tmp_path, world, captions="first", cutoffs=[3, 1, 2])
    outcomes = []
    results = clipbench.evaluate(
        oracle("perfect", world.owners), file, on_sample=lambda task, outcome: outcomes.append(outcome)
    )
    assert list(results.tasks["toy"].metrics) == [f"{way}_recall@{k}" for way in ("t2i", "i2t") for k in (1, 2, 3)]
    assert results.tasks["toy"].primary_metric == "t2i_recall@2"
    assert {outcome.chance for outcome in outcomes} == {2 / 4}
    assert len(outcomes) == 4 + 4
    (task,) = select_tasks("coco_retrieval")
    assert task.metrics == tuple(f"{way}_recall@{k}" for way in ("t2i", "i2t") for k in (1, 5, 10))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"captions": "last"}, r"toy.yaml:\d+: captions"),
        ({"captions": 0}, r"toy.yaml:\d+: captions"),
        ({"cutoffs": []}, r"toy.yaml:\d+: cutoffs"),
        ({"cutoffs": [0]}, r"toy.yaml:\d+: cutoffs"),
        ({"task_type": "pairs", "captions": "first"}, "a pairs task has no captions"),
        ({"task_type": "pairs", "text_template": "a photo"}, "text_template 'a photo' needs one {}"),
    ],
)
def test_task_files_that_make_no_sense(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        select_tasks(write_retrieval(tmp_path, World(), **change))


def multilingual(folder, world, languages=LANGUAGES):
    rows = []
    for row in range(3):
        pictures = [("coco", world.picture()), ("inpaint", world.picture())]
        entry = {"concept": ("object", "color", "size")[row]}
        for side, (name, picture) in enumerate(pictures):
            entry[f"{name}_image"] = cell(picture)
            for language in languages:
                text = f"{language} {name} {row}"
                entry[f"{name}_caption_{language}"] = text
                world.owners[text] = 2 * row + side
        rows.append(entry)
    names = {name: Image() if name.endswith("_image") else Value("string") for name in rows[0]}
    columns = {name: [row[name] for row in rows] for name in names}
    datasets.Dataset.from_dict(columns, features=Features(names)).save_to_disk(folder)


def test_inpaintcoco_in_fourteen_languages_from_a_saved_folder(tmp_path):
    world = World()
    multilingual(tmp_path / "saved", world)
    model, decoded = oracle("perfect", world.owners), 6
    results = clipbench.evaluate(
        model,
        "inpaintcoco_multilingual,inpaintcoco_cleaned",
        data={"inpaintcoco_multilingual": str(tmp_path / "saved")},
        allow_missing=True,
    )
    assert len(results.tasks) == 15
    for name, task in results.tasks.items():
        assert task.error is None, task.error
        assert {measure.value for measure in task.metrics.values()} == {1.0}, name
        assert set(task.breakdown) == {"object", "color", "size"}
        assert "3 samples where 953 are expected" in " ".join(task.problems)
    assert results.groups["inpaintcoco_multilingual"].mean.value == 1.0
    assert model.decoded == decoded  # the languages share their images
    (sample, *_) = samples_of("inpaintcoco_multilingual_ja", tmp_path / "saved")
    assert list(sample.texts) == ["ja coco 0", "ja inpaint 0"]


def test_a_language_that_the_data_lacks(tmp_path):
    multilingual(tmp_path / "saved", World(), ("en", "de"))
    assert len(samples_of("inpaintcoco_multilingual_de", tmp_path / "saved")) == 3
    with pytest.raises(DataError, match="row 0: no column 'coco_caption_hi' in this data"):
        samples_of("inpaintcoco_multilingual_hi", tmp_path / "saved")
