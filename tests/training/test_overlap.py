import pytest

from clipbench.cli import main
from clipbench.evaluation.options import EvaluationOptions
from clipbench.evaluation.preparation import prepare_tasks
from clipbench.training.overlap import find_overlaps, photograph_id
from clipbench.types import ImageRef
from tests.toy import write_toy
from tests.training.table import write_table


def ref(key, content=None):
    return ImageRef(key, lambda: None, content=None if content is None else lambda: content)


@pytest.fixture
def plans(tmp_path):
    """Two tasks over the same three pictures: 0.png, 1.png and 2.png."""
    captions = ["a red thing", "a green thing", "a blue thing"]
    first = write_toy(tmp_path, captions, name="first")
    second = write_toy(tmp_path, captions, name="second")
    return prepare_tasks(f"{first},{second}", EvaluationOptions())


def images_of(plan):
    return [image for sample in plan.task.samples(plan.source) for image in sample.images]


def test_the_bytes_of_a_file_give_it_away_whatever_its_name(plans):
    stolen = images_of(plans[0])[1].content()
    found = find_overlaps([ref("other.jpg", b"other"), ref("renamed.jpg", stolen)], plans)
    assert [(each.task, each.shared, each.images) for each in found] == [("first", 1, 3), ("second", 1, 3)]
    assert str(found[0]).startswith("first: 1 of its 3 images are among the training images (")
    assert images_of(plans[0])[1].key in str(found[0])


def test_other_pictures_do_not_overlap_even_under_the_same_short_name(plans):
    own = images_of(plans[0])[0].key
    assert find_overlaps([ref(own, b"another picture"), ref(own, None)], plans) == []


def test_names_of_coco_photographs_are_the_same_in_all_its_releases():
    number = "000000000139"
    names = [f"val2017/{number}.jpg", f"COCO_val2014_{number}.jpg", f"train2014/COCO_train2014_{number}.png"]
    assert {photograph_id(name) for name in names} == {number}


@pytest.mark.parametrize(
    "key", ["0.png", "12.jpg", "0012345678.jpg", "row 1234567", "row 1234567, image", "scene-3", "a/b/img_001.jpg"]
)
def test_short_names_say_nothing(key):
    assert photograph_id(key) is None


def test_who_trains_on_val2014_is_told_of_val2017(tmp_path):
    from PIL import Image

    folder = tmp_path / "task"
    folder.mkdir()
    lines = ["file_name,caption"]
    for number in range(3):
        name = f"{number:012d}.jpg"
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / name)
        lines.append(f"{name},a red thing {number}")
    (folder / "metadata.csv").write_text("\n".join(lines))
    (tmp_path / "task.yaml").write_text(
        "name: photographs\ntask_type: ranking\nconcept: color\ndataset: {path: task/metadata.csv}\n"
    )
    plans = prepare_tasks(str(tmp_path / "task.yaml"), EvaluationOptions())
    assert plans[0].error is None, plans[0].error
    (found,) = find_overlaps([ref("COCO_val2014_000000000001.jpg"), ref("COCO_val2014_000000000007.jpg")], plans)
    assert (found.task, found.shared, found.images, found.examples) == ("photographs", 1, 3, ("000000000001.jpg",))


def test_finetune_warns_by_name_and_the_card_repeats_it(tmp_path, capsys):
    table = write_table(tmp_path / "table")
    task = tmp_path / "seen.yaml"
    task.write_text(f"name: seen\ntask_type: ranking\nconcept: color\ndataset: {{path: {table}}}\n")
    command = ["finetune", "--model", "demo", "--train_data", table, "--concept", "color", "--batch_size", 8,
               "--max_steps", 1, "--device", "cpu", "--image_cache", tmp_path / "cache",
               "--output_path", tmp_path / "out", "--eval_tasks", task]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in command])
    assert not ended.value.code
    warning = "seen: 24 of its 24 images are among the training images"
    assert f"clipbench: warning: {warning}" in capsys.readouterr().err
    assert warning in (tmp_path / "out/README.md").read_text()
