import numpy as np
import pytest

from clipbench.concepts import load_concept
from clipbench.data import Dataset, open_source
from clipbench.errors import ConfigError, DataError
from clipbench.training.datasets import open_training_data, training_concepts
from clipbench.training.gathering import gather_pairs
from clipbench.training.pairs import check_negatives
from clipbench.training.sampling import substitution_uniforms
from tests.training.table import write_table

CAPTIONS = ["a red cat", "a cat", "a large blue boat", "a huge house", "white on white"]


def pairs_of(folder, *concepts, captions=CAPTIONS, **options):
    source = open_source(Dataset("t", None), str(write_table(folder, captions=captions)))
    return gather_pairs(source, [load_concept(name) for name in concepts], **options)


def test_captions_without_a_keyword_are_left_out(tmp_path):
    pairs = pairs_of(tmp_path, "color")
    assert pairs.captions == ["a red cat", "a large blue boat", "white on white"]
    assert len(pairs.images) == 3
    assert len(pairs_of(tmp_path, "color", limit=2)) == 2


def test_a_caption_counts_once_whatever_concepts_it_holds(tmp_path):
    pairs = pairs_of(tmp_path, "color", "size")
    assert [[entry.keyword for entry in entries] for entries in pairs.negatives.variants] == [
        ["red"], ["blue", "large"], ["huge"], ["white"]]  # fmt: skip


def negatives_of(pairs, seed, epoch):
    """Each caption's hard negatives in an epoch."""
    rows = np.arange(len(pairs))
    texts, valid = pairs.negatives.texts(rows, pairs.negatives.draw(seed, epoch).picks)
    assert valid.shape == (len(pairs), pairs.negatives.k)
    assert valid.all()
    k = pairs.negatives.k
    return [texts[start : start + k] for start in range(0, len(texts), k)]


def test_substitutes_are_never_the_caption_and_never_twice_the_same(tmp_path):
    pairs = pairs_of(tmp_path, "color", k=3)
    seen = set()
    for epoch in range(60):
        for caption, texts in zip(pairs.captions, negatives_of(pairs, 0, epoch), strict=True):
            assert len({*texts, caption}) == 4
            seen.update(texts)
    assert {f"a {color} cat" for color in load_concept("color").replacements} - seen == {"a red cat"}


def test_each_concept_of_a_caption_is_varied_as_often_as_the_other(tmp_path):
    pairs = pairs_of(tmp_path, "color", "size")
    texts = [negatives_of(pairs, 0, epoch)[1][0] for epoch in range(2000)]
    share = np.mean(["large" not in text for text in texts])
    assert abs(share - 0.5) < 4 * (0.25 / 2000) ** 0.5  # not 8 : 1, as the numbers of replacements are


def test_substitutes_follow_from_the_uniform_numbers_one_caption_at_a_time(tmp_path):
    pairs = pairs_of(tmp_path, "color", "size", k=1)
    for row, (concept, replacement) in enumerate(substitution_uniforms(5, 2, len(pairs), 1).tolist()):
        entries = pairs.negatives.variants[row]
        options = entries[int(concept * len(entries))]
        assert negatives_of(pairs, 5, 2)[row] == [options[1 + int(replacement * (len(options) - 1))]]


def test_more_negatives_than_replacements_are_refused():
    check_negatives([load_concept("color")], 3)
    check_negatives([load_concept("location")], 1)
    with pytest.raises(ConfigError, match=r"negatives 3.*location has 1 replacement only; give at most 1"):
        check_negatives([load_concept("color"), load_concept("location")], 3)


def test_no_keyword_is_said_with_the_concepts_list(tmp_path):
    with pytest.raises(DataError, match=r"no caption contains a keyword of color \(.*blue.*orange.*\); location \("):
        pairs_of(tmp_path, "color", "location", captions=["a cat", "a dog"])


def test_missing_images_are_refused_or_counted(tmp_path):
    table = write_table(tmp_path, captions=CAPTIONS)
    (tmp_path / "0.png").unlink()
    source = open_source(Dataset("t", None), str(table))
    with pytest.raises(DataError, match=r"1 of 3 images missing \(0\.png\); set allow_missing"):
        gather_pairs(source, [load_concept("color")])
    pairs = gather_pairs(source, [load_concept("color")], allow_missing=True)
    assert (len(pairs), pairs.left_out) == (2, 1)


def test_the_fingerprint_covers_captions_images_and_variants(tmp_path):
    first = pairs_of(tmp_path / "a", "color").fingerprint
    assert pairs_of(tmp_path / "a", "color").fingerprint == first
    assert pairs_of(tmp_path / "a", "color", limit=2).fingerprint != first
    assert pairs_of(tmp_path / "a", "size").fingerprint != first


def test_pairs_of_broken_images_go_and_the_others_keep_theirs(tmp_path):
    pairs = pairs_of(tmp_path, "color")
    kept = pairs.without_images({1})
    assert kept.captions == ["a red cat", "white on white"]
    assert [kept.images[image].key for image in kept.image_of] == ["0.png", "4.png"]
    assert kept.left_out == 1


def test_on_coco_tiny_is_no_more_trained_on_than_it_is_ranked(coco_folder):
    source = open_training_data("coco", {"coco": str(coco_folder)})
    pairs = gather_pairs(source, training_concepts("coco", ["size"]), allow_missing=True)
    assert len(pairs) + pairs.left_out == 2_601  # the paper's count of val2017's captions; with tiny they are more
    with_tiny = gather_pairs(source, (load_concept("size"),), allow_missing=True)
    assert len(with_tiny) + with_tiny.left_out > 2_601
