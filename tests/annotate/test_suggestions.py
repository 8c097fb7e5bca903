import pytest

from clipbench.annotate.checks import check_text
from clipbench.annotate.suggestions import (
    SUPERCATEGORIES,
    check_caption,
    fit_article,
    keyword_caption,
    paintable,
    suggested_order,
)
from clipbench.concepts import Concept, load_concept
from clipbench.errors import ConfigError
from clipbench.scenes import scene


def suggested(concept, caption):
    return keyword_caption(paintable(load_concept(concept)), caption)


@pytest.mark.parametrize(
    ("concept", "caption", "thing"),
    [
        ("color", "A white cat.", "cat"),
        ("color", "A black and white cow on side of street", "cow"),
        ("color", "A black Honda motorcycle parked in front of a garage.", "Honda motorcycle"),
        ("color", "a man in a white lab coat holding a hacksaw", "lab coat"),
        ("color", "The cat is black.", "cat"),
        ("color", "Blue and red: white", "white"),
        ("color", "white", "white"),
        ("size", "two really long horned cows eating in a field", "horned cows"),
        ("size", "A small green boat in a pond.", "boat"),
        ("object", "Person rides a horse near an oven.", "horse"),
        ("object", "a traffic light over a bus", "traffic light"),
    ],
)
def test_the_masking_prompt_is_what_the_keyword_is_about(concept, caption, thing):
    found = suggested(concept, caption)
    assert found.mask_prompt.lower() == thing.lower()


def test_objects_are_replaced_within_their_supercategory():
    concept = paintable(load_concept("object"))
    assert set(suggested("object", "a cat").replacements) == {
        "bird", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe",
    }  # fmt: skip
    assert "person" not in concept.replacements  # it is alone in its super-category
    for word, others in concept.replacements.items():
        (group,) = [group for group in SUPERCATEGORIES.values() if word in group]
        assert set(others) == set(group) - {word}


def test_the_supercategories_hold_the_80_names_once():
    names = [name for group in SUPERCATEGORIES.values() for name in group]
    table = load_concept("object").replacements
    assert sorted(names) == sorted({*table, *(word for others in table.values() for word in others)})
    assert len(names) == 80
    for group, members in scene.SUPERCATEGORIES.items():
        assert set(members) <= set(SUPERCATEGORIES[group])


def test_scenes_become_only_what_can_be_drawn():
    concept = paintable(load_concept("object"), scene.NAMES)
    assert concept.replacements["cat"] == ("bird",)
    assert "dog" not in concept.replacements


def test_color_by_any_color_and_size_by_its_opposite():
    assert len(suggested("color", "a red bus").replacements) == 8
    assert suggested("size", "a tall man").replacements == ("short",)


def test_places_cannot_be_painted():
    with pytest.raises(ConfigError, match="location"):
        paintable(load_concept("location"))


def test_a_concept_of_ones_own_is_taken_as_it_is():
    material = Concept("material", {"wooden": ("metal",)})
    assert paintable(material) == material
    assert keyword_caption(material, "an old wooden door").mask_prompt == "door"


@pytest.mark.parametrize(
    ("caption", "replacement", "expected"),
    [
        ("A white cat", "orange", "An orange cat"),
        ("An orange cat", "white", "A white cat"),
        ("there is a red bus", "orange", "there is an orange bus"),
        ("the red bus", "orange", "the orange bus"),
        ("la red bus", "orange", "la orange bus"),
        ("A  red bus", "orange", "An  orange bus"),
    ],
)
def test_articles_fit_in_suggestions(caption, replacement, expected):
    assert suggested("color", caption).exchanged(replacement) == expected


def test_an_article_elsewhere_is_left_alone():
    assert fit_article("a cat and a big ", "orange") == "a cat and a big "


def test_what_the_captions_mention_already_is_suggested_last():
    order = suggested_order(("bed", "sofa", "toilet"), ["A chair next to a bed."], 3)
    assert sorted(order) == ["bed", "sofa", "toilet"]
    assert order[-1] == "bed"
    orders = {tuple(suggested_order(("bed", "sofa", "toilet"), [], seed)) for seed in range(20)}
    assert len(orders) > 1
    assert suggested_order(("bed", "sofa", "toilet"), [], 5) == suggested_order(("bed", "sofa", "toilet"), [], 5)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("", "empty"),
        (" \t", "empty"),
        ("A white cat on a white sofa.", "old one"),
        ("a WHITE cat, on a white sofa", "old one"),
        ("A big white cat on a white sofa.", "still says 'white'"),
    ],
)
def test_captions_that_do_not_tell_the_pictures_apart(new, message):
    with pytest.raises(ConfigError, match=message):
        check_caption("A white cat on a white sofa.", new, "white")


def test_a_keyword_that_stands_twice_may_stay_once():
    check_caption("A white cat on a white sofa.", "A black cat on a white sofa.", "white")
    check_caption("A white cat.", "A whitewashed cat.", "white")


def test_what_is_no_text_is_not_suggested():
    caption = keyword_caption(load_concept("color"), "A red \x1b[31mcar\0 on\na road.")
    assert caption.exchanged("orange") == "An orange [31mcar on\na road."
    assert check_text("caption", caption.exchanged("blue")) == "A blue [31mcar on a road."
