import numpy as np
import pytest

from clipbench.scenes.drawing import PICTURE_SIZE, draw, silhouette
from clipbench.scenes.icons import GRID, ICONS
from clipbench.scenes.scene import BACKDROPS, COLORS, NAMES, Scene, SceneObject, sample_scene

# Block means (R, G, B) of a 4 x 4 division of three test scenes. A tolerance of 3 lets a Pillow release fill a
# curve's rim differently by a pixel, and no more.
EXPECTED = {
    0: [
        [[162, 206, 237], [164, 207, 237], [166, 208, 237], [162, 197, 214]],
        [[142, 189, 156], [146, 194, 164], [115, 176, 141], [62, 142, 84]],
        [[162, 197, 143], [141, 180, 117], [134, 181, 106], [132, 184, 95]],
        [[118, 158, 90], [63, 107, 145], [100, 151, 123], [132, 184, 95]],
    ],
    1: [
        [[188, 195, 215], [187, 194, 213], [169, 178, 205], [157, 170, 206]],
        [[198, 207, 222], [198, 201, 214], [164, 167, 191], [68, 100, 190]],
        [[218, 229, 234], [215, 225, 230], [215, 225, 230], [218, 229, 234]],
        [[218, 229, 234], [218, 229, 234], [218, 229, 234], [218, 229, 234]],
    ],
    2: [
        [[197, 209, 216], [197, 209, 216], [197, 209, 216], [197, 209, 216]],
        [[177, 181, 182], [175, 182, 191], [161, 179, 186], [197, 209, 216]],
        [[153, 136, 121], [187, 189, 181], [177, 207, 187], [227, 238, 240]],
        [[231, 243, 243], [231, 243, 243], [231, 243, 243], [231, 243, 243]],
    ],
}


def one(name="cup", color="red", side=96, depth=0, x=128, y=128):
    return SceneObject(name, color, "large" if side > 60 else "small", side, x, y, depth, (0, 0, 0))


def scene(*things, backdrop="field"):
    return Scene("test", 0, 0, backdrop, things)


def pixels(picture):
    return np.asarray(draw(picture)).astype(int)


def blocks(picture):
    size = PICTURE_SIZE // 4
    return pixels(picture).reshape(4, size, 4, size, 3).mean(axis=(1, 3)).round().astype(int)


@pytest.mark.parametrize("index", EXPECTED)
def test_pictures_are_the_same_everywhere(index):
    difference = np.abs(blocks(sample_scene("test", 0, index)) - np.array(EXPECTED[index]))
    assert difference.max() <= 3


def test_drawing_twice_gives_the_same_bytes():
    picture = sample_scene("test", 0, 5)
    assert draw(picture).tobytes() == draw(picture).tobytes()


def test_every_name_has_an_icon_inside_its_grid():
    assert set(ICONS) == set(NAMES)
    for shapes in ICONS.values():
        assert all(0 <= number <= GRID for _, _, numbers in shapes for number in numbers)


@pytest.mark.parametrize("name", NAMES)
def test_a_thing_shows_its_own_color_and_no_other(name):
    palette = np.array(list(COLORS.values()))
    neutral = [list(COLORS).index(color) for color in ("black", "white", "gray")]  # rims, wheels and windows
    for wanted, color in enumerate(COLORS):
        thing = one(name, color)
        inside = pixels(scene(thing))[np.asarray(silhouette(thing)) > 0]
        distance = np.abs(inside[:, None] - palette[None]).sum(-1)
        near = np.bincount(distance.argmin(1)[distance.min(1) < 60], minlength=9)
        assert near[wanted] > 0.2 * len(inside), (color, near)
        others = [number for number in range(9) if number != wanted and number not in neutral]
        assert near[others].max() < 0.2 * near[wanted], (color, near)


def test_things_can_be_told_apart():
    shown = {name: (pixels(scene(one(name))), np.asarray(silhouette(one(name))) > 0) for name in NAMES}
    for name, (picture, shape) in shown.items():
        for other, (another, its_shape) in shown.items():
            if other != name:
                differs = np.abs(picture - another).sum(-1) > 90
                assert differs[shape | its_shape].mean() > 0.25, (name, other)


def test_what_is_in_front_hides_what_is_behind():
    behind, front = one("suitcase", "blue", depth=-1), one("apple", "red", depth=1, x=150)
    together = pixels(scene(behind, front))
    inside = np.asarray(silhouette(front)) == 255
    alone = pixels(scene(front))
    core = inside & (np.abs(together - alone).sum(-1) == 0)
    assert core.sum() > 0.9 * inside.sum()
    assert (pixels(scene(front, behind)) != together).any()


def test_large_is_clearly_larger_than_small():
    large, small = (np.count_nonzero(np.asarray(silhouette(one(side=side)))) for side in (86, 52))
    assert large > 2 * small


@pytest.mark.parametrize("backdrop", BACKDROPS)
def test_backdrops_vary_and_fill_the_picture(backdrop):
    first = pixels(Scene("test", 0, 0, backdrop, ()))
    second = pixels(Scene("test", 0, 1, backdrop, ()))
    assert (first != second).mean() > 0.2
    assert (first.sum(-1) > 0).all()
