"""Zero-shot classification: against a slow reference, hand-computed matrices, and models that know all or nothing."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

import clipbench
from clipbench.data import Dataset, HubTable
from clipbench.task_types import ClassificationTask
from tests.oracles import numbered_image

CLASSES = ("cat", "dog", "red car")
TEMPLATES = ("a photo of a {}.", "a drawing of a {}")
LABELS = (0, 0, 1, 2, 2, 2, 1)


class Answers:
    """Encoders of given features: images by number, prompts by class and template."""

    def __init__(self, images, prompts):
        self.images, self.prompts = np.asarray(images, np.float32), prompts

    def encode_image(self, images):
        return np.stack([self.images[np.asarray(image)[0, 0, 0] % len(self.images)] for image in images])

    def encode_text(self, texts):
        return np.stack([self.prompts.get(text, np.ones(self.images.shape[1], np.float32)) for text in texts])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("classes")
    for number, label in enumerate(LABELS):
        place = root / CLASSES[label]
        place.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(place / f"{number}.png")
    return root


def task_of(folder, **attributes):
    dataset = Dataset("some", None, path=str(folder), layouts=("class_folders", "webdataset"))
    return ClassificationTask.declare("some", "Some.", dataset=dataset, templates=TEMPLATES, **attributes)


def evaluate(model, task, **options):
    found = {}
    results = clipbench.evaluate(
        model, [task], on_sample=lambda name, one: found.update({one.sample_id: one}), **options
    )
    return results.tasks["some"], found


def random_answers(seed):
    draw = np.random.default_rng(seed)
    prompts = {
        template.replace("{}", name): draw.normal(size=6).astype(np.float32)
        for name in CLASSES
        for template in TEMPLATES
    }
    return Answers(draw.normal(size=(len(LABELS), 6)), prompts)


@pytest.mark.parametrize("seed", range(4))
def test_every_decision_equals_a_slow_reference(folder, seed):
    model = random_answers(seed)
    result, found = evaluate(model, task_of(folder))
    vectors = []
    for name in CLASSES:
        rows = [model.prompts[template.replace("{}", name)].astype(np.float64) for template in TEMPLATES]
        mean = sum(row / np.linalg.norm(row) for row in rows) / len(rows)
        vectors.append(mean / np.linalg.norm(mean))
    right = []
    for number, label in enumerate(LABELS):
        image = model.images[number].astype(np.float64)
        scores = [float(image @ vector / np.linalg.norm(image)) for vector in vectors]
        one = found[f"{CLASSES[label]}/{number}.png"]
        right.append(max(range(3), key=scores.__getitem__) == label)
        assert one.correct == right[-1]
        assert one.record["texts"][0] == CLASSES[label]
        assert one.record["scores"][0] == pytest.approx(scores[label], abs=1e-6)
        assert one.record["scores"][1:] == pytest.approx(sorted(scores[:label] + scores[label + 1 :])[::-1], abs=1e-6)
    assert result.metrics["acc1"].value == pytest.approx(np.mean(right))
    by_class = [np.mean([hit for hit, own in zip(right, LABELS, strict=True) if own == label]) for label in range(3)]
    assert result.metrics["mean_per_class_recall"].value == pytest.approx(np.mean(by_class))
    assert result.chance == pytest.approx(1 / 3)


def perfect():
    axes = np.eye(3, dtype=np.float32)
    prompts = {template.replace("{}", name): axes[k] for k, name in enumerate(CLASSES) for template in TEMPLATES}
    return axes, prompts


def test_perfect_reversed_and_constant_models(folder):
    axes, prompts = perfect()
    result, _ = evaluate(Answers(axes[list(LABELS)], prompts), task_of(folder))
    assert result.metrics["acc1"].value == 1
    assert result.tied == 0
    result, _ = evaluate(Answers(-axes[list(LABELS)], prompts), task_of(folder))
    assert result.metrics["acc1"].value == 0
    result, _ = evaluate(Answers(np.ones((len(LABELS), 3)), prompts), task_of(folder))
    assert result.metrics["acc1"].value == 0  # all tie: no win
    assert result.tied == len(LABELS)


def test_a_model_of_nan_fails_and_scores_nothing(folder):
    _, prompts = perfect()
    images = np.eye(3, dtype=np.float32)[list(LABELS)]
    images[3] = np.nan
    model = Answers(images, prompts)
    result, _ = evaluate(model, task_of(folder))
    assert "not finite" in result.error
    assert not result.metrics


def test_templates_and_classes_that_cannot_be_used(folder, tmp_path):
    for attributes, message in (
        ({"templates": ("a photo",)}, "has no {} for the class"),
        ({"class_names": ("cat",)}, "nothing to choose between"),
        ({"class_names": "open_clip:NOWHERE"}, "no such list"),
        ({"class_names": ("a", "b")}, "1 sample cannot be scored|none of the 2 classes"),
    ):
        dataset = Dataset("some", None, path=str(folder), layouts=("class_folders",))
        given = {"dataset": dataset, "templates": TEMPLATES, **attributes}
        result, _ = evaluate(random_answers(0), ClassificationTask.declare("some", "Some.", **given))
        assert result.error is not None
        assert any(part in result.error for part in message.split("|")), result.error


def write_tar(folder, classes=True):
    (folder / "test").mkdir(parents=True)
    with tarfile.open(folder / "test" / "0.tar", "w") as tar:
        for number, label in enumerate(LABELS):
            image = io.BytesIO()
            Image.new("RGB", (8, 8), (number, 0, 0)).save(image, "PNG")
            for suffix, content in (("png", image.getvalue()), ("cls", str(label).encode())):
                info = tarfile.TarInfo(f"s{number:04}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    if classes:
        (folder / "classnames.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8-sig")
        (folder / "zeroshot_classification_templates.txt").write_text("\n".join(TEMPLATES).replace("{}", "{c}") + "\n")


def test_tars_in_the_layout_of_clip_benchmark_give_the_numbers_of_folders(folder, tmp_path):
    write_tar(tmp_path)
    model = random_answers(1)
    expected, _ = evaluate(model, task_of(folder))
    dataset = Dataset("some", None, path=str(tmp_path), layouts=("webdataset",))
    result, found = evaluate(model, ClassificationTask.declare("some", "Some.", dataset=dataset))
    assert result.error is None
    assert {name: one.value for name, one in result.metrics.items()} == {
        name: one.value for name, one in expected.metrics.items()
    }
    assert len(found) == len(LABELS)


def test_tars_that_are_broken_or_without_labels_are_refused(tmp_path):
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise/0.tar").write_bytes(b"no tar at all" * 99)
    write_tar(tmp_path / "nameless", classes=False)
    for name, message in (("noise", "cannot be read"), ("nameless", "set class_names")):
        dataset = Dataset("some", None, path=str(tmp_path / name), layouts=("webdataset",))
        result, _ = evaluate(random_answers(0), ClassificationTask.declare("some", "Some.", dataset=dataset))
        assert message in result.error, name


def test_parquet_with_class_labels_names_its_classes(tmp_path, folder):
    import datasets

    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))})
    rows = {"img": [Image.new("RGB", (8, 8), (number, 0, 0)) for number in range(len(LABELS))], "label": list(LABELS)}
    (tmp_path / "data").mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "data/test-00000-of-00001.parquet")
    model = random_answers(2)
    expected, _ = evaluate(model, task_of(folder))
    dataset = Dataset(
        "some", HubTable("", "main", "test", ("img",), (), label="label"), path=str(tmp_path), layouts=("webdataset",)
    )
    task = ClassificationTask.declare("some", "Some.", dataset=dataset, templates=TEMPLATES)
    result, _ = evaluate(model, task)
    assert result.error is None
    assert result.metrics["acc1"].value == expected.metrics["acc1"].value


def test_logged_samples_rescore_compare_and_confuse(folder, tmp_path):
    from clipbench.results.sample_log import logged_samples

    task = task_of(folder)
    results = clipbench.evaluate(random_answers(3), [task], output_path=tmp_path, log_samples=True)
    file = next(tmp_path.rglob("results_*.json"))
    samples = list(logged_samples(file, "some"))
    assert len(samples) == len(LABELS)
    again = [task().rescore(sample) for sample in samples]
    assert np.mean([one["acc1"] for one in again]) == pytest.approx(results.tasks["some"].metrics["acc1"].value)
    for sample in samples:
        true, answered = ClassificationTask.confusion(sample)
        assert true == sample.group
        assert (answered == true) == sample.correct
    assert json.loads(file.read_text())["tasks"]["some"]["task_type"] == "classification"


def test_imagenet_has_a_thousand_classes_and_eighty_prompts():
    from clipbench.task_types.registry import select_tasks

    (task,) = select_tasks("imagenet1k")
    source = type("Nothing", (), {"class_names": ()})()
    assert len(task._classes_of(source)) == 1000
    assert len(task._templates_of(source)) == 80


def test_unknown_labels_are_named(folder, tmp_path):
    (tmp_path / "t.csv").write_text("image,label\na.png,cot\n")
    numbered_image(0).save(tmp_path / "a.png")
    dataset = Dataset("some", HubTable("", "", "", ("image",), (), label="label"), path=str(tmp_path / "t.csv"))
    task = ClassificationTask.declare("some", "Some.", dataset=dataset, class_names=CLASSES, templates=TEMPLATES)
    result, _ = evaluate(random_answers(0), task)
    assert "row 0: no class 'cot' among the 3" in result.error


def test_a_yaml_file_declares_classes_and_prompts(folder, tmp_path):
    model = random_answers(1)
    expected, _ = evaluate(model, task_of(folder))
    (tmp_path / "some.yaml").write_text(
        f"name: some\ntask_type: classification\ntemplates: {list(TEMPLATES)}\ndataset: {{path: {folder}}}\n"
    )
    results = clipbench.evaluate(model, str(tmp_path / "some.yaml"))
    assert results.tasks["some"].metrics == expected.metrics
    rows = [f"{folder / CLASSES[label]}/{number}.png,{label}" for number, label in enumerate(LABELS)]
    (tmp_path / "t.csv").write_text("\n".join(["image,kind", *rows]) + "\n")
    (tmp_path / "some.yaml").write_text(
        "name: some\ntask_type: classification\ndataset: {path: t.csv, images: image, label: kind}\n"
        f"class_names: {list(CLASSES)}\ntemplates: {list(TEMPLATES)}\n"
    )
    results = clipbench.evaluate(model, str(tmp_path / "some.yaml"))
    assert results.tasks["some"].metrics == expected.metrics


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("templates: [a photo]", "has no {} for the class"),
        ("class_names: [one]", "class_names"),
        ("class_names: []", "class_names"),
        ("cutoffs: [1]", "has no cutoffs"),
    ],
)
def test_yaml_files_that_cannot_be_used_are_refused(folder, tmp_path, line, message):
    from clipbench.errors import ConfigError

    (tmp_path / "some.yaml").write_text(f"name: some\ntask_type: classification\ndataset: {{path: {folder}}}\n{line}\n")
    with pytest.raises(ConfigError, match=message):
        clipbench.evaluate(random_answers(0), str(tmp_path / "some.yaml"))
