import shutil

import pytest
from PIL import Image

from clipbench.errors import ConfigError, DataError
from clipbench.training.datasets import open_training_data
from tests.training.table import write_coco


def captions_of(source):
    return [caption for row in source.rows() for caption in row.captions]


def test_data_says_where_a_named_data_set_lies(tmp_path):
    for year in ("val2017", "train2017"):
        write_coco(tmp_path / "coco", year, [f"a red cat of {year}"])
    places = {"coco": str(tmp_path / "coco"), "other": "nowhere"}
    assert captions_of(open_training_data("coco", places)) == ["a red cat of train2017"]
    shutil.rmtree(tmp_path / "coco/train2017")
    (tmp_path / "coco/annotations/captions_train2017.json").unlink()
    assert captions_of(open_training_data("coco", places)) == ["a red cat of val2017"]


def test_scenes_are_drawn_as_many_as_wanted_unless_they_lie_somewhere(tmp_path):
    write_coco(tmp_path, "val2017", ["a red cat of val2017"])
    assert len(list(open_training_data("scenes=7").rows())) == 7
    assert captions_of(open_training_data("scenes", {"scenes": str(tmp_path)})) == ["a red cat of val2017"]


def test_a_place_is_not_part_of_the_name():
    with pytest.raises(ConfigError, match=r"give the name coco only, and coco=FOLDER in data"):
        open_training_data("coco=FOLDER")
    with pytest.raises(DataError, match=r"flickr30k: it is not hosted .* give flickr30k=PLACE in data"):
        open_training_data("flickr30k")


@pytest.mark.parametrize("written", ["flickr8k", "folder"])
def test_flickr8k_is_trained_on_its_training_photographs(tmp_path, written):
    names = {"train": "1_a.jpg", "dev": "2_b.jpg", "test": "3_c.jpg"}
    (tmp_path / "Images").mkdir()
    lines = []
    for split, name in names.items():
        Image.new("RGB", (8, 8)).save(tmp_path / "Images" / name)
        (tmp_path / f"Flickr_8k.{split}Images.txt").write_text(f"{name}\n")
        lines += [f"{name}#{number}\tA {split} dog ." for number in range(5)]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    source = (
        open_training_data("flickr8k", {"flickr8k": str(tmp_path)})
        if written == "flickr8k"
        else open_training_data(str(tmp_path))
    )
    assert [caption for row in source.rows() for caption in row.captions] == ["A train dog ."] * 5
