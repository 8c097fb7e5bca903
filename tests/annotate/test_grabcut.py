"""GrabCut on pictures whose object is known."""

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2")

from clipbench.annotate.grabcut import grab_cut
from clipbench.annotate.masks import box_mask, brush
from clipbench.errors import DataError


def picture(width=160, height=120):
    """A reddish disk on a noisy green ground, and its mask."""
    noise = np.random.default_rng(1).integers(-12, 12, (height, width, 3))
    y, x = np.mgrid[:height, :width]
    disk = (x - width // 2) ** 2 + (y - height // 2) ** 2 < (height // 4) ** 2
    pixels = np.where(disk[..., None], (200, 60, 50), (60, 130, 70)) + noise
    return Image.fromarray(pixels.astype(np.uint8)), disk


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("size", [(160, 120), (1600, 1200)])
def test_the_object_in_a_box(size):
    image, disk = picture(*size)
    found = grab_cut(image, box=tuple(x * size[0] / 160 for x in (40, 20, 120, 100)))
    assert found.shape == disk.shape
    assert overlap(found, disk) > 0.97


def test_the_object_under_a_stroke_and_without_what_is_erased():
    image, disk = picture()
    stroke = brush(np.zeros_like(disk), [(70, 60), (90, 60)], 4)
    assert overlap(grab_cut(image, foreground=stroke), disk) > 0.95
    erased = box_mask(image.size, (75, 55, 85, 65))
    found = grab_cut(image, box=(40, 20, 120, 100), background=erased)
    assert not (found & erased).any()
    assert found.any()


def test_another_object_that_looks_alike_is_not_meant():
    image, disk = picture()
    pixels = np.asarray(image).copy()
    pixels[4:20, 4:20] = pixels[52:68, 72:88]
    stroke = brush(np.zeros_like(disk), [(70, 60), (90, 60)], 4)
    assert overlap(grab_cut(Image.fromarray(pixels), foreground=stroke), disk) > 0.95


def test_the_same_twice():
    image, _ = picture()
    assert (grab_cut(image, box=(40, 20, 120, 100)) == grab_cut(image, box=(40, 20, 120, 100))).all()


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ({}, "draw a box"),
        ({"foreground": np.zeros((120, 160), bool)}, "draw a box"),
        ({"box": (0, 0, 160, 120)}, "covers the whole picture"),
        ({"box": (10, 10, 12, 12)}, "too small"),
        ({"box": (500, 500, 600, 600)}, "too small"),
    ],
)
def test_hints_that_say_nothing(hints, message):
    with pytest.raises(DataError, match=message):
        grab_cut(picture()[0], **hints)


def test_a_picture_of_one_color_is_no_crash():
    image = Image.new("RGB", (60, 60), "gray")
    try:
        found = grab_cut(image, box=(10, 10, 50, 50))
    except DataError:
        return
    assert found.shape == (60, 60)
