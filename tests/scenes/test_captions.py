from collections import Counter

import pytest

from clipbench.concepts import load_concept
from clipbench.scenes.captions import CAPTIONS_PER_SCENE, captions
from clipbench.scenes.scene import sample_scene

from .reading import THING, is_true

SCENES = [sample_scene("test", 0, index) for index in range(500)]
CAPTIONS = [(scene, caption) for scene in SCENES for caption in captions(scene)]
CONCEPTS = ("object", "color", "location", "size")


def test_five_captions_a_scene_always_the_same_ones():
    assert all(len(captions(scene)) == CAPTIONS_PER_SCENE == 5 for scene in SCENES[:20])
    assert [captions(scene) for scene in SCENES[:20]] == [captions(scene) for scene in SCENES[:20]]


def test_every_caption_is_true_of_its_picture():
    for scene, caption in CAPTIONS:
        assert is_true(caption, scene), (caption, scene)


@pytest.mark.parametrize("concept", CONCEPTS)
def test_every_variant_is_false_of_the_picture(concept):
    judged = 0
    for scene, caption in CAPTIONS:
        variants = load_concept(concept).variants(caption)
        # "an orange cup" varied as an object gives "a bus cup", which nobody can call true or false
        if variants is None or (concept == "object" and variants.keyword == "orange"):
            continue
        # names that the world does not draw, or words that it does not use, are false by themselves
        for variant in variants[1:]:
            if len(THING.findall(variant)) == len(THING.findall(caption)):
                assert not is_true(variant, scene), (caption, variant, scene)
                judged += 1
    assert judged > 100


def test_every_concept_has_many_captions_and_every_drawn_keyword_occurs():
    counts = {concept: Counter() for concept in CONCEPTS}
    for _, caption in CAPTIONS:
        for concept in CONCEPTS:
            variants = load_concept(concept).variants(caption)
            if variants is not None:
                counts[concept][variants.keyword] += 1
    shares = {concept: sum(found.values()) / len(CAPTIONS) for concept, found in counts.items()}
    assert shares["object"] == 1
    assert all(0.1 < shares[concept] < 0.7 for concept in ("color", "location", "size"))
    assert len(counts["object"]) >= 20
    assert len(counts["color"]) == 9
    assert set(counts["location"]) == set(load_concept("location").replacements)
    assert set(counts["size"]) == {"large", "small", "big", "little", "huge", "tiny"}


def test_one_place_and_no_contradiction_a_text_alone_could_show():
    # "on the left … on the right" varied would say "on the right … on the right": false without looking
    for _, caption in CAPTIONS:
        words = load_concept("location")
        variants = words.variants(caption)
        if variants is not None:
            rest = caption[: variants.start] + caption[variants.end :]
            assert not words.matches(rest), caption


def test_opposite_words_are_equally_common_in_every_place_of_a_sentence():
    # else a model that sees no picture could tell a caption from its variant
    counts = Counter()
    for concept in ("location", "size"):
        for _, caption in CAPTIONS:
            variants = load_concept(concept).variants(caption)
            if variants is not None:
                counts[variants.keyword] += 1
    for concept in ("location", "size"):
        for keyword, (other,) in load_concept(concept).replacements.items():
            if counts[keyword] and counts[keyword] + counts[other] >= 60:
                assert 0.35 < counts[keyword] / (counts[keyword] + counts[other]) < 0.65, (keyword, other)


def test_captions_vary():
    texts = [caption for _, caption in CAPTIONS]
    assert len(set(texts)) > 0.9 * len(texts)
    named = Counter(len(THING.findall(text)) for text in texts)
    assert set(named) == {1, 2, 3}
    assert 0.6 < sum(text[0].isupper() for text in texts) / len(texts) < 0.9
    assert {text.endswith(".") for text in texts} == {True, False}
    assert not any("  " in text or " ." in text or " ," in text for text in texts)
