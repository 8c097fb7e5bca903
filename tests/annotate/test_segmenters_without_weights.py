"""Silhouettes of scenes, and COCO's outlines."""

import json

import numpy as np
import pytest
from PIL import Image

from clipbench.annotate.outlines import OutlineSegmenter, decode
from clipbench.annotate.segmenters import find_segmenter, outlines_file
from clipbench.errors import ClipbenchError, ConfigError, DataError
from clipbench.scenes.drawing import draw, silhouette
from clipbench.scenes.scene import sample_scene
from clipbench.types import ImageRef


def ref(key):
    return ImageRef(key, lambda: Image.new("RGB", (1, 1)))


def test_silhouettes_of_scenes():
    segmenter = find_segmenter("scenes")
    for index in range(30):
        scene = sample_scene("test", 0, index)
        hidden = np.zeros((128, 128), bool)
        for thing in reversed(scene.things):  # nearest first
            exact = np.asarray(silhouette(thing)) > 0
            found = segmenter.segment(draw(scene), f"the {thing.color} {thing.name}", ref(scene.key))
            assert (found == exact & ~hidden).all()
            hidden |= exact


def test_what_scenes_do_not_show():
    scene = sample_scene("test", 0, 0)
    with pytest.raises(DataError, match="names none of them"):
        find_segmenter("scenes").segment(draw(scene), "a zebra", ref(scene.key))
    with pytest.raises(DataError, match="not a drawn scene: use another segmenter"):
        find_segmenter("scenes").segment(draw(scene), "a cat", ref("1.jpg"))


def pack(runs):
    """COCO's packed text, written from its definition (maskApi.c, rleToString)."""
    text = ""
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        while True:
            bits = value & 31
            value >>= 5
            more = value != -1 if bits & 16 else value != 0
            text += chr((bits | (32 if more else 0)) + 48)
            if not more:
                break
    return text


def runs_of(mask):
    runs, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            runs.append(0)
            value = not value
        runs[-1] += 1
    return runs


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_run_lengths(share):
    mask = np.random.default_rng(0).random((37, 53)) < share
    mask[5:9] = True
    runs = runs_of(mask)
    assert (decode({"size": [37, 53], "counts": runs}, (53, 37)) == mask).all()
    assert (decode({"size": [37, 53], "counts": pack(runs)}, (53, 37)) == mask).all()


def test_a_packed_outline_worked_out_by_hand():
    """A 2 x 3 picture; runs below 16 are their own character, after the third as a difference."""
    assert (decode({"size": [2, 3], "counts": "123"}, (3, 2)) == [[False, True, False], [True, False, False]]).all()
    # 1, 2, 1, 2: the last is written as 2 - 2 = 0
    assert (decode({"size": [2, 3], "counts": "1210"}, (3, 2)) == [[False, True, True], [True, False, True]]).all()


def slow_polygon(points, width, height):
    """Even-odd by a ray to the left of every pixel's center."""
    mask = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
                if (y0 <= y) != (y1 <= y) and x0 + (y - y0) / (y1 - y0) * (x1 - x0) <= x:
                    mask[row, column] ^= True
    return mask


def test_polygons():
    """A square from (2, 1) to (6, 4) is three rows of four pixels; polygons join; parts outside the picture are cut."""
    square = decode([[2, 1, 6, 1, 6, 4, 2, 4]], (12, 8))
    assert square[1:4, 2:6].all()
    assert square.sum() == 12
    star = [(0.2, 3.1), (11.7, 2.9), (2.3, 7.9), (6.1, -2.2), (9.8, 7.4)]
    flat = [number for point in star for number in point]
    assert (decode([flat], (12, 8)) == slow_polygon(star, 12, 8)).all()
    both = decode([flat, [2, 1, 6, 1, 6, 4, 2, 4]], (12, 8))
    assert (both == slow_polygon(star, 12, 8) | square).all()
    assert not decode([[1, 1, 5, 5]], (12, 8)).any()


@pytest.mark.parametrize(
    "outline",
    [
        [[1, 2, 3]],
        [["a", "b", 1, 2, 3, 4]],
        7,
        {"size": [9, 9], "counts": [81]},
        {"size": [8, 12], "counts": [5]},
        {"size": [8, 12], "counts": [97, -1]},
        {"size": [8, 12], "counts": "\x01"},
        {"counts": [96]},
    ],
)
def test_outlines_that_are_none(outline):
    with pytest.raises(DataError, match="outline cannot be read"):
        decode(outline, (12, 8))


@pytest.fixture
def coco(tmp_path):
    square = [[1, 1, 4, 1, 4, 4, 1, 4]]
    large = [[5, 1, 11, 1, 11, 7, 5, 7]]
    crowd = {"size": [8, 12], "counts": [0, 96]}
    content = {
        "images": [{"id": 5, "file_name": "000000000005.jpg"}, {"id": 6, "file_name": "000000000006.jpg"}],
        "categories": [{"id": 1, "name": "person"}, {"id": 17, "name": "cat"}, {"id": 63, "name": "couch"}],
        "annotations": [
            {"image_id": 5, "category_id": 17, "segmentation": square, "area": 9, "iscrowd": 0},
            {"image_id": 5, "category_id": 17, "segmentation": large, "area": 36, "iscrowd": 0},
            {"image_id": 5, "category_id": 1, "segmentation": crowd, "area": 96, "iscrowd": 1},
            {"image_id": 5, "category_id": 1, "segmentation": square, "area": 9, "iscrowd": 0},
        ],
    }
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "instances_val2017.json").write_text(json.dumps(content))
    (folder / "captions_val2017.json").write_text(json.dumps({"images": [], "annotations": []}))
    return tmp_path


IMAGE = Image.new("RGB", (12, 8))


@pytest.mark.parametrize(
    ("prompt", "columns"),
    [
        ("the white cat", (5, 10)),  # the larger one
        ("two white Cats", (1, 10)),  # both
        ("the kitten on the couch", (5, 10)),
        ("a man", (1, 3)),  # one person, not the crowd
        ("people", (0, 11)),
    ],
)
def test_outlines_by_their_names(coco, prompt, columns):
    file = outlines_file(coco)
    assert file == outlines_file(coco / "annotations" / "captions_val2017.json")
    mask = find_segmenter("outlines", outlines=file).segment(IMAGE, prompt, ref("000000000005.jpg"))
    found = np.flatnonzero(mask.any(0))
    assert found[0] == columns[0]
    assert found[-1] == columns[1]


@pytest.mark.parametrize(
    ("prompt", "key", "message"),
    [
        ("a sofa", "000000000005.jpg", "no couch has an outline in 000000000005.jpg, which has cat, person"),
        ("a spaceship", "000000000005.jpg", "nothing that the prompt 'a spaceship' names"),
        ("a cat", "000000000006.jpg", "which has none"),
        ("a cat", "7.jpg", "has no outlines of 7.jpg"),
    ],
)
def test_outlines_that_are_not_there(coco, prompt, key, message):
    with pytest.raises(DataError, match=message):
        OutlineSegmenter(outlines_file(coco)).segment(IMAGE, prompt, ref(key))


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"images": [{}]}', '{"images": [], "categories": [], "annotations": [3]}']
)
def test_files_that_hold_no_outlines(tmp_path, content):
    path = tmp_path / "instances_val2017.json"
    path.write_text(content)
    with pytest.raises(ClipbenchError) as caught:
        OutlineSegmenter(path).segment(IMAGE, "a cat", ref("1.jpg"))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options(tmp_path):
    with pytest.raises(ConfigError, match=r"needs COCO's instances_val2017\.json"):
        find_segmenter("outlines")
    with pytest.raises(ConfigError, match="has no threshold"):
        find_segmenter("scenes", threshold=0.5)
    assert outlines_file(tmp_path) is None
