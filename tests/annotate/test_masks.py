"""Masks: every operation against a slow loop over pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from clipbench.annotate import masks
from clipbench.errors import DataError

RANDOM = np.random.default_rng(0)


def blob(height=17, width=23, share=0.1):
    return RANDOM.random((height, width)) < share


def slow_grow(mask, near):
    """Every pixel with a pixel of the mask for which near(dx, dy)."""
    ys, xs = np.nonzero(mask)
    result = np.zeros_like(mask)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            result[y, x] = any(near(abs(x - ox), abs(y - oy)) for ox, oy in zip(xs, ys, strict=True))
    return result


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 0), (0, 2), (2, 4), (100, 0), (100, 100)])
def test_widen(x, y):
    mask = blob(share=0.03)
    assert (masks.widen(mask, x, y) == slow_grow(mask, lambda dx, dy: dx <= x and dy <= y)).all()


@pytest.mark.parametrize(("x", "y"), [(1, 0), (0, 1), (1, 2)])
def test_widening_by_less_than_nothing_is_the_complements_widening(x, y):
    mask = blob(share=0.9)
    assert (masks.widen(mask, -x, -y) == ~slow_grow(~mask, lambda dx, dy: dx <= x and dy <= y)).all()


@pytest.mark.parametrize("pixels", [0, 1, 2, 3.5])
def test_grow_and_shrink(pixels):
    mask = blob(share=0.04)
    grown = slow_grow(mask, lambda dx, dy: dx**2 + dy**2 <= pixels**2)
    assert (masks.grow(mask, pixels) == grown).all()
    assert (masks.shrink(~mask, pixels) == ~grown).all()
    assert (masks.grow(~mask, -pixels) == ~grown).all()


def test_nothing_stays_nothing_and_all_stays_all():
    nothing = np.zeros((5, 7), bool)
    for change in (masks.grow, masks.shrink, lambda mask, by: masks.widen(mask, by, by)):
        assert not change(nothing, 2).any()
        assert change(~nothing, 2).all()


def slow_brush(shape, points, radius):
    result = np.zeros(shape, bool)
    samples = [
        (x0 + (x1 - x0) * t, y0 + (y1 - y0) * t)
        for (x0, y0), (x1, y1) in zip(points, points[1:] or points, strict=False)
        for t in np.linspace(0, 1, 2001)
    ]
    for y in range(shape[0]):
        for x in range(shape[1]):
            result[y, x] = min((x + 0.5 - px) ** 2 + (y + 0.5 - py) ** 2 for px, py in samples) <= radius**2
    return result


@pytest.mark.parametrize("points", [[(4.2, 5.1)], [(2, 3), (9.3, 3.7)], [(-4, -2), (6, 8), (16, 1)], [(50, 50)]])
def test_brush_and_eraser(points):
    stroke = slow_brush((11, 13), points, 2.3)
    mask = blob(11, 13, 0.5)
    assert (masks.brush(mask, points, 2.3) == mask | stroke).all()
    assert (masks.brush(mask, points, 2.3, erase=True) == mask & ~stroke).all()


def test_the_thinnest_brush_paints_the_pixel_under_it():
    painted = masks.brush(np.zeros((5, 5), bool), [(2.01, 3.99)], 0.1)
    assert painted[3, 2]
    assert painted.sum() <= 3


def test_operations_leave_their_input_alone():
    mask = blob()
    before = mask.copy()
    for result in (masks.widen(mask, 0, 0), masks.grow(mask, 0), masks.brush(mask, [(1, 1)], 3)):
        result[:] = True
    assert (mask == before).all()


@pytest.mark.parametrize(
    ("points", "radius"), [([(float("nan"), 1)], 2), ([(1, float("inf"))], 2), ([(1, 1)], 0), ([(1, 1)], -1)]
)
def test_a_stroke_of_no_numbers(points, radius):
    with pytest.raises(DataError, match="stroke"):
        masks.brush(blob(), points, radius)


def test_box():
    mask = masks.box_mask((6, 4), (4.4, -3, 1.6, 2.5))
    assert {(x, y) for y, x in zip(*np.nonzero(mask), strict=True)} == {(x, y) for x in (2, 3) for y in (0, 1)}
    assert masks.bounds(mask) == (2, 0, 4, 2)
    assert not masks.box_mask((6, 4), (10, 10, 20, 20)).any()
    with pytest.raises(DataError, match="box"):
        masks.box_mask((6, 4), (0, 0, float("nan"), 1))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((4, 6), bool), "the mask is empty"),
        (np.ones((4, 6), bool), "covers the whole picture"),
        (np.ones((6, 4), bool), "4 x 6 pixels and the picture 6 x 4"),
    ],
)
def test_masks_that_nothing_can_be_painted_in(mask, message):
    with pytest.raises(DataError, match=message):
        masks.check(mask, (6, 4))


def test_png_and_back():
    mask = blob()
    image = Image.open(io.BytesIO(masks.to_png(mask)))
    assert image.mode == "L"
    assert (masks.from_image(image, image.size) == mask).all()
    layer = Image.merge("RGBA", [Image.new("L", image.size, 255)] * 3 + [image])  # as a browser's canvas gives it
    assert (masks.from_image(layer, image.size) == mask).all()
    with pytest.raises(DataError, match="pixels"):
        masks.from_image(image, (3, 3))
