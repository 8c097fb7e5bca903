import dataclasses
import itertools

import pytest

from clipbench.errors import ConfigError
from clipbench.scenes.rng import Dice
from clipbench.scenes.scene import CANVAS, COLORS, NAMES, SIZES, SPLITS, SUPERCATEGORIES, dice_for, sample_scene


def some(split="train", count=400, seed=0):
    return [sample_scene(split, seed, index) for index in range(count)]


def test_dice_are_fixed_for_ever():
    # raw Philox words: numpy guarantees them, so the world is the same under every version of it
    dice = Dice(seed=1, split=2, index=3, stream=4)
    assert [dice.below(1000) for _ in range(8)] == [260, 349, 943, 831, 69, 335, 116, 119]


def test_dice_outlast_a_block_and_differ_by_every_part_of_the_address():
    rolls = {}
    for address in itertools.product((0, 1), (0, 1), (0, 1), (0, 1)):
        dice = Dice(*address)
        rolls[address] = tuple(dice.below(10**9) for _ in range(200))
    assert len(set(rolls.values())) == 16
    assert len(set(rolls[0, 0, 0, 0])) == 200


def test_dice_are_fair():
    dice = Dice(0, 0, 0, 0)
    counts = [0] * 6
    for _ in range(6000):
        counts[dice.below(6)] += 1
    assert all(880 < count < 1120 for count in counts)
    assert {dice.between(2, 4) for _ in range(100)} == {2, 3, 4}
    assert {dice.weighted((1, 0, 3)) for _ in range(100)} == {0, 2}
    assert sorted(dice.sample("abcd", 4)) == list("abcd")


def test_a_scene_is_a_function_of_its_address():
    assert some(count=20) == some(count=20)
    assert sample_scene("train", 0, 15) == some(count=20)[15]


def test_splits_and_seeds_share_no_scene():
    worlds = [some(split, 300, seed) for split in SPLITS for seed in (0, 1)]
    contents = [{(scene.backdrop, scene.things) for scene in world} for world in worlds]
    for first, second in itertools.combinations(contents, 2):
        assert not first & second
    assert all(len(content) == 300 for content in contents)


def test_names_are_coco_names_that_can_be_found_in_captions():
    from clipbench.concepts import load_concept

    assert len(NAMES) >= 16
    assert len(set(NAMES)) == len(NAMES)
    assert set(NAMES) <= set(load_concept("object").replacements)
    assert set(COLORS) == set(load_concept("color").replacements)
    assert all(len(group) >= 2 for group in SUPERCATEGORIES.values())


def test_things_lie_inside_and_apart_unless_one_is_in_front():
    for scene in some():
        names = [thing.name for thing in scene.things]
        assert 1 <= len(names) == len(set(names)) <= 3
        assert sorted(thing.depth for thing in scene.things if thing.depth) in ([], [-1, 1])
        for thing in scene.things:
            low, high = SIZES[thing.size]
            assert low <= thing.side <= high
            assert 40 <= thing.x <= CANVAS - 40
            assert 40 <= thing.y <= CANVAS - 20
        for first, second in itertools.combinations(scene.things, 2):
            if first.depth * second.depth == 0:
                assert max(abs(first.x - second.x), abs(first.y - second.y)) >= 64


def test_what_is_in_front_is_drawn_later_and_overlaps():
    pairs = 0
    for scene in some():
        order = [thing.depth for thing in scene.things if thing.depth]
        if order:
            pairs += 1
            assert order == [-1, 1]
            behind, front = (thing for thing in scene.things if thing.depth)
            assert abs(front.x - behind.x) < (front.side + behind.side) // 2
            assert front.y > behind.y
    assert 80 < pairs < 200


def test_properties_do_not_tell_one_another():
    # a blind model must not be able to guess a color or size from a name: no pair of them is rare
    things = [thing for scene in some(count=1500) for thing in scene.things]
    for color, size in itertools.product(COLORS, SIZES):
        share = sum(thing.color == color and thing.size == size for thing in things) / len(things)
        assert 0.02 < share < 0.10


def test_a_scene_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample_scene("train", 0, 0).things = ()


@pytest.mark.parametrize(("split", "seed", "index"), [("training", 0, 0), ("test", -1, 0), ("test", 0, -1)])
def test_wrong_addresses_are_told(split, seed, index):
    with pytest.raises(ConfigError, match=r"split|negative"):
        dice_for(split, seed, index, 0)
