import re

import numpy as np
import pytest

from clipbench.concepts import load_concept
from clipbench.errors import ConfigError
from clipbench.scenes.drawing import draw
from clipbench.scenes.scene import SUPERCATEGORIES
from clipbench.scenes.world import EDIT_CONCEPTS, World, edit, edits

from .reading import is_true


def pixels(image):
    return np.asarray(image).astype(int)


def test_streaming_equals_random_access_and_a_small_world_begins_a_large_one():
    world = World("val", 12, seed=3)
    streamed = list(world)
    assert len(streamed) == len(world) == 12
    assert streamed == [world[index] for index in reversed(range(12))][::-1]
    assert world[-1] == streamed[-1]
    assert world[2:5] == streamed[2:5]
    assert list(World("val", 5, seed=3)) == streamed[:5]
    assert World("test", 5, seed=3)[0] != streamed[0]
    with pytest.raises(IndexError):
        world[12]


def test_a_world_that_cannot_be_is_told_at_once():
    with pytest.raises(ConfigError, match=r"split 'all'.*train, val, test"):
        World("all", 3)
    with pytest.raises(ConfigError, match="size=-1"):
        World("test", -1)
    with pytest.raises(ConfigError, match="no 'location' edits"):
        edit(World("test", 1)[0].scene, "location")


@pytest.mark.parametrize("concept", EDIT_CONCEPTS)
def test_an_edit_changes_the_pixels_of_one_thing_only(concept):
    for made in edits("test", 60, concept):
        before, after = (pixels(image) for image in made.draw())
        mask = pixels(made.mask())
        differs = (before != after).any(axis=-1)
        assert differs.any(), made
        assert not differs[mask == 0].any(), made
        assert set(np.unique(mask)) <= {0, 255}
        assert (mask > 0).mean() < 0.25
        changed = [one for one, two in zip(made.before.things, made.after.things, strict=True) if one != two]
        assert changed == [made.before.things[made.thing]]


@pytest.mark.parametrize("concept", EDIT_CONCEPTS)
def test_each_caption_is_true_of_its_own_picture_and_false_of_the_other(concept):
    for made in edits("test", 200, concept):
        assert is_true(made.caption_before, made.before), made
        assert is_true(made.caption_after, made.after), made
        assert not is_true(made.caption_before, made.after), made
        assert not is_true(made.caption_after, made.before), made


@pytest.mark.parametrize("concept", EDIT_CONCEPTS)
def test_the_captions_of_an_edit_differ_in_one_keyword_of_the_concept(concept):
    for made in edits("test", 200, concept):
        variants = load_concept(concept).variants(made.caption_before)
        assert variants is not None
        without_articles = [re.sub(r"\b([Aa])n? ", r"\1 ", caption) for caption in (*variants[1:], made.caption_after)]
        assert without_articles[-1] in without_articles[:-1], made


def test_an_object_is_replaced_within_its_supercategory_where_it_can_be():
    groups = {name: group for group, names in SUPERCATEGORIES.items() for name in names}
    inside = 0
    for made in edits("test", 200, "object"):
        old, new = made.before.things[made.thing], made.after.things[made.thing]
        shown = {thing.name for thing in made.before.things}
        inside += groups[old.name] == groups[new.name]
        assert groups[old.name] == groups[new.name] or set(SUPERCATEGORIES[groups[old.name]]) <= shown
        assert (old.x, old.y, old.side, old.color) == (new.x, new.y, new.side, new.color)
    assert inside > 150


def test_size_edits_leave_alone_what_overlaps():
    for made in edits("test", 100, "size"):
        old, new = made.before.things[made.thing], made.after.things[made.thing]
        assert old.depth == 0
        assert {old.size, new.size} == {"large", "small"}
        assert max(old.side, new.side) > 1.5 * min(old.side, new.side)


def test_an_edit_is_a_function_of_its_scene():
    scene = World("test", 3)[2].scene
    assert edit(scene, "color") == edit(scene, "color")
    assert list(edits("test", 5, "size")) == list(edits("test", 9, "size"))[:5]


def test_pictures_are_drawn_when_asked_for():
    picture = World("train", 1)[0]
    image = picture.draw()
    assert (image.mode, image.size) == ("RGB", (128, 128))
    assert image.tobytes() == draw(picture.scene).tobytes()
