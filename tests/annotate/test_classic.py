"""The classic painter: on pictures whose right answer is known, and on photographs."""

import colorsys
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2")

from clipbench.annotate.grabcut import grab_cut
from clipbench.annotate.masks import box_mask
from clipbench.annotate.painters.base import Cancelled, PaintRequest, composite
from clipbench.annotate.painters.classic import ClassicPainter
from clipbench.annotate.painters.fill import fill
from clipbench.annotate.painters.recolor import recolor
from clipbench.concepts import load_concept
from clipbench.errors import ConfigError, DataError

HUES = {"red": 0, "orange": 27, "yellow": 50, "green": 130, "blue": 218}  # degrees, as people name them
COLORS = sorted(load_concept("color").replacements)


def ball(color, size=(140, 130)):
    """A shaded ball of a color on a noisy gray ground, and its mask."""
    noise = np.random.default_rng(2).integers(-6, 6, (size[1], size[0], 3))
    y, x = np.mgrid[: size[1], : size[0]]
    inside = (x - 70) ** 2 + (y - 78) ** 2 < 30**2
    shading = np.clip(1.1 - 0.012 * (x - 55) - 0.008 * (y - 63), 0.3, 1.2)[..., None]
    pixels = np.where(inside[..., None], np.array(color) * shading, (130, 140, 150)) + noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), inside


def paint(image, mask, concept, old, new, seed=0):
    request = PaintRequest(image, mask, f"a {new} ball", concept, old, new, seed)
    return ClassicPainter().paint(request, lambda step, steps: None, lambda: False)


def mean_hsv(image, mask):
    red, green, blue = np.asarray(image)[mask].mean(0) / 255
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    return hue * 360, saturation, value


BALLS = {"red": (200, 40, 40), "white": (225, 225, 225), "black": (35, 35, 35), "gray": (120, 120, 120)}
BALLS |= {"green": (40, 140, 60), "brown": (110, 70, 40), "blue": (40, 80, 200)}


@pytest.mark.parametrize("new", COLORS)
@pytest.mark.parametrize("old", sorted(BALLS))
def test_the_ball_has_the_new_color(old, new):
    if old == new:
        return
    image, mask = ball(BALLS[old])
    hue, saturation, value = mean_hsv(paint(image, mask, "color", old, new).image, mask)
    if new in HUES:
        assert abs((hue - HUES[new] + 180) % 360 - 180) < 25
        assert saturation > 0.45
    elif new == "brown":
        assert 10 < hue < 45
        assert value < 0.6
    else:
        assert saturation < 0.2
        assert {"white": value > 0.75, "black": value < 0.3, "gray": 0.35 < value < 0.7}[new]


@pytest.mark.parametrize(("old", "new"), [("red", "blue"), ("white", "black"), ("black", "white"), ("blue", "yellow")])
def test_shading_is_kept(old, new):
    """What was lighter before is lighter after."""
    image, mask = ball(BALLS[old])
    painted = paint(image, mask, "color", old, new).image
    before, after = (np.asarray(one.convert("L"), float)[mask] for one in (image, painted))
    assert np.corrcoef(before, after)[0, 1] > 0.8
    assert after.std() > 3


def test_parts_in_another_color_stay():
    """A red ball with a blue patch becomes green with a blue patch."""
    image, mask = ball(BALLS["red"])
    patch = box_mask(image.size, (60, 73, 80, 83))
    image = composite(image, Image.new("RGB", image.size, (40, 80, 200)), patch)
    painted = paint(image, mask, "color", "red", "green").image
    inner = box_mask(image.size, (63, 76, 77, 80))
    assert np.abs(np.asarray(painted, int) - np.asarray(image, int))[inner].max() < 6
    hue, _, _ = mean_hsv(painted, mask & ~box_mask(image.size, (56, 69, 84, 87)))
    assert abs(hue - HUES["green"]) < 25


def test_where_the_caption_is_wrong_about_the_color_all_of_the_mask_is_recolored():
    image, mask = ball(BALLS["green"])
    hue, _, _ = mean_hsv(paint(image, mask, "color", "red", "blue").image, mask)
    assert abs(hue - HUES["blue"]) < 25


@pytest.mark.parametrize(
    ("concept", "old", "new"), [("color", "red", "blue"), ("size", "large", "small"), ("size", "small", "large")]
)
def test_outside_the_mask_nothing_changes_and_seeds_differ(concept, old, new):
    image, mask = ball(BALLS["red"])
    results = [paint(image, mask, concept, old, new, seed) for seed in (0, 1, 2, 0)]
    for result in results:
        assert result.image.size == image.size
        outside = ~result.mask
        assert (np.asarray(result.image)[outside] == np.asarray(image)[outside]).all()
    assert results[0].image.tobytes() == results[3].image.tobytes()
    changed = results[0].mask | results[1].mask | results[2].mask
    pictures = [np.asarray(result.image, float) for result in results[:3]]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(pictures[one] - pictures[other])[changed].mean() > 3


def red_area(image):
    pixels = np.asarray(image, int)
    return (pixels[..., 0] > pixels[..., 1] + 40).sum()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("old", "new", "low", "high"),
    [
        ("large", "small", 0.15, 0.5),
        ("huge", "tiny", 0.15, 0.5),
        ("tall", "short", 0.4, 0.7),
        ("fat", "thin", 0.4, 0.7),
    ],
)
def test_smaller(old, new, low, high, seed):
    image, mask = ball(BALLS["red"])
    share = red_area(paint(image, mask, "size", old, new, seed).image) / red_area(image)
    assert low < share < high


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("old", "new"), [("small", "large"), ("little", "big"), ("short", "tall"), ("thin", "fat")])
def test_larger(old, new, seed):
    image, mask = ball(BALLS["red"])
    painted = paint(image, mask, "size", old, new, seed)
    assert red_area(painted.image) > 1.2 * red_area(image)
    assert (painted.mask & ~mask).any()


def test_the_foot_stays_where_it_was():
    image, mask = ball(BALLS["red"])
    for old, new in (("large", "small"), ("small", "large")):
        painted = np.asarray(paint(image, mask, "size", old, new).image, int)
        red = painted[..., 0] > painted[..., 1] + 40
        rows, columns = np.nonzero(red)
        assert abs(rows.max() - np.nonzero(mask)[0].max()) <= 2
        assert abs(columns.mean() - np.nonzero(mask)[1].mean()) < 3


def test_an_object_that_fills_the_picture_cannot_grow():
    image, _ = ball(BALLS["red"])
    mask = box_mask(image.size, (2, 2, 138, 128))
    with pytest.raises(DataError, match="cannot become larger"):
        paint(image, mask, "size", "small", "large")
    with pytest.raises(DataError, match="too few pixels"):
        paint(image, box_mask(image.size, (5, 5, 8, 8)), "size", "large", "small")


def test_a_hole_in_stripes_is_filled_with_stripes():
    """The pattern goes on: a blur would be far off."""
    x = np.mgrid[:96, :128][1]
    stripes = np.where((x // 8) % 2 == 0, 40, 210)[..., None] * np.ones(3)
    image = Image.fromarray(stripes.astype(np.uint8))
    hole = box_mask(image.size, (50, 35, 78, 60))
    damaged = composite(image, Image.new("RGB", image.size, "magenta"), hole)
    filled = np.asarray(fill(damaged, hole), float)
    assert np.abs(filled - stripes)[hole].mean() < 20


@pytest.mark.parametrize("box", [(0, 0, 128, 95), (1, 1, 127, 95), (0, 40, 128, 96)])
def test_holes_with_little_around_them_are_filled_somehow(box):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8))
    hole = box_mask(image.size, box)
    assert (np.asarray(fill(image, hole))[~hole] == np.asarray(image)[~hole]).all()


def test_what_cannot_be_painted():
    image, mask = ball(BALLS["red"])
    with pytest.raises(ConfigError, match="without a model"):
        paint(image, mask, "object", "cat", "dog")
    with pytest.raises(ConfigError, match="'cheap' is not a color"):
        paint(image, mask, "color", "red", "cheap")
    with pytest.raises(ConfigError, match="'cheap' is not a size"):
        paint(image, mask, "size", "large", "cheap")
    with pytest.raises(DataError, match="empty"):
        paint(image, np.zeros_like(mask), "color", "red", "blue")
    with pytest.raises(DataError, match="whole picture"):
        paint(image, np.ones_like(mask), "color", "red", "blue")
    with pytest.raises(ConfigError, match="sizes differ"):
        composite(image, image, mask.T)
    request = PaintRequest(image, mask, "", "color", "red", "blue", 0)
    with pytest.raises(Cancelled):
        ClassicPainter().paint(request, lambda step, steps: None, lambda: True)


@pytest.mark.parametrize("new", ["pink", "light blue", "Purple"])
def test_other_colors_that_css_knows(new):
    image, mask = ball(BALLS["red"])
    assert (np.asarray(recolor(image, mask, "red", new)) != np.asarray(image)).any()


def test_a_photograph():
    """COCO 105912: a red fire hydrant."""
    folder = os.environ.get("CLIPBENCH_TEST_DATA")
    if not folder:
        pytest.skip("CLIPBENCH_TEST_DATA is not set")
    image = Image.open(Path(folder) / "val2017" / "000000105912.jpg").convert("RGB")
    mask = grab_cut(image, box=(112, 88, 218, 328))
    painted = paint(image, mask, "color", "red", "blue")
    hue, saturation, _ = mean_hsv(painted.image, mask)
    assert abs(hue - HUES["blue"]) < 25
    assert saturation > 0.45
    smaller = paint(image, mask, "size", "large", "small")
    for result in (painted, smaller):
        outside = ~result.mask
        assert (np.asarray(result.image)[outside] == np.asarray(image)[outside]).all()
