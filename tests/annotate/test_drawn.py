"""The drawn painter: the scene world's own edits, and nothing outside the object."""

from dataclasses import replace

import numpy as np
import pytest

from clipbench.annotate.painters.base import Cancelled, PaintRequest
from clipbench.annotate.painters.drawn import DrawnPainter
from clipbench.errors import ConfigError, DataError
from clipbench.scenes.drawing import draw
from clipbench.scenes.scene import COLORS, SIZES, sample_scene
from clipbench.scenes.world import edits
from clipbench.types import ImageRef

WORDS = {"large": "huge", "small": "tiny"}


def never():
    return False


def paint(request, painter=None):
    return DrawnPainter().paint(request, lambda step, steps: None, never)


def request_for(edit, seed=0, mask=None):
    old, new = edit.before.things[edit.thing], edit.after.things[edit.thing]
    keyword, replacement = {
        "color": (old.color, new.color),
        "object": (old.name, new.name),
        "size": (WORDS[old.size], WORDS[new.size]),
    }[edit.concept]
    image = draw(edit.before)
    return PaintRequest(
        image,
        np.asarray(edit.mask()) > 0 if mask is None else mask,
        edit.caption_after,
        edit.concept,
        keyword,
        replacement,
        seed,
        ImageRef(edit.before.key, lambda: image),
    )


@pytest.mark.parametrize("concept", ["color", "object", "size"])
def test_edits_of_the_world(concept):
    """The picture is that of the changed scene, and outside the mask it is the original to the bit."""
    for edit in edits("test", 12, concept):
        request = request_for(edit)
        painted = paint(request)
        before, after = np.asarray(request.image), np.asarray(painted.image)
        assert (before == after)[~painted.mask].all()
        assert (before != after).any()
        assert not painted.mask.all()
        # The world's own edit differs in what a seed decides: shade and exact size. Where that is equal, so is all.
        if concept == "color":
            shades = [np.asarray(draw(replace(edit.after, things=_with_tint(edit, tint)))) for tint in (0, 12)]
            assert np.abs(after.astype(int) - shades[0]).max() <= np.abs(shades[1].astype(int) - shades[0]).max() + 1
        elif concept == "size":
            low, high = SIZES[edit.after.things[edit.thing].size]
            drawn = [np.asarray(draw(replace(edit.after, things=_with_side(edit, s)))) for s in range(low, high + 1)]
            assert any((after == one).all() for one in drawn)


def _with_tint(edit, tint):
    things = list(edit.after.things)
    things[edit.thing] = replace(things[edit.thing], tint=(tint,) * 3)
    return tuple(things)


def _with_side(edit, side):
    things = list(edit.after.things)
    things[edit.thing] = replace(things[edit.thing], side=side)
    return tuple(things)


@pytest.mark.parametrize("concept", ["color", "object", "size"])
def test_a_seed_gives_one_picture_and_three_seeds_three(concept):
    edit = next(edits("test", 1, concept))
    pictures = [paint(request_for(edit, seed)).image.tobytes() for seed in (0, 1, 2, 0)]
    assert pictures[0] == pictures[3]
    assert len(set(pictures)) == 3


def test_the_object_is_found_by_the_mask():
    """A rough mask is enough; of two objects under it the keyword decides."""
    edit = next(edit for edit in edits("test", 40, "object") if len(edit.before.things) > 1)
    nearly_all = np.ones((128, 128), bool)
    nearly_all[0, 0] = False
    rough = paint(request_for(edit, mask=nearly_all))
    exact = paint(request_for(edit))
    assert rough.image.tobytes() == exact.image.tobytes()
    assert (rough.mask == exact.mask).all()


def test_what_cannot_be_painted():
    edit = next(edits("test", 1, "color"))
    request = request_for(edit)
    with pytest.raises(ConfigError, match="no color 'purple': choose one of blue, red"):
        paint(replace(request, replacement="purple"))
    with pytest.raises(DataError, match="covers no object"):
        paint(replace(request, mask=np.zeros((128, 128), bool)))
    other = next(color for color in COLORS if color != request.keyword)
    with pytest.raises(DataError, match=f"is not '{other}'"):
        paint(replace(request, keyword=other, mask=request.mask))
    with pytest.raises(ConfigError, match="cannot change location"):
        paint(replace(request, concept="location"))
    with pytest.raises(DataError, match=r"000000000139\.jpg is not a drawn scene: use inpainter classic"):
        paint(replace(request, source=ImageRef("000000000139.jpg", lambda: request.image)))
    with pytest.raises(DataError, match="not a drawn scene"):
        paint(replace(request, source=None))
    with pytest.raises(DataError, match="drawn differently"):
        paint(replace(request, image=request.image.rotate(90)))
    with pytest.raises(Cancelled):
        DrawnPainter().paint(request, lambda step, steps: None, lambda: True)


def test_overlapping_objects_keep_their_size():
    scene = next(
        scene
        for scene in (sample_scene("test", 0, index) for index in range(200))
        if any(t.depth for t in scene.things)
    )
    image = draw(scene)
    thing = next(thing for thing in scene.things if thing.depth == 1)
    from clipbench.scenes.drawing import silhouette

    mask = np.asarray(silhouette(thing)) > 0
    words = {"large": ("large", "small"), "small": ("small", "large")}[thing.size]
    request = PaintRequest(image, mask, "", "size", *words, 0, ImageRef(scene.key, lambda: image))
    with pytest.raises(DataError, match="overlaps another object"):
        paint(request)
