from benchmarks.word_order import shuffled, with_shuffled_words
from clipbench.scenes.source import open_edits, open_pictures
from clipbench.task_types import PairsTask, RankingTask, RetrievalTask


class Colors(RankingTask):
    name = "colors"
    concept = "color"


class Pairs(PairsTask):
    name = "pairs"


class Search(RetrievalTask):
    name = "search"


def words(text):
    return sorted(text.replace(".", "").replace(",", "").split())


def test_shuffling_keeps_words_and_changes_their_order():
    text = "a small red cup to the left of a large blue bottle in the snow."
    mixed = shuffled(text, "seed")
    assert words(mixed) == words(text)
    assert mixed.split() != text.rstrip(".").split()
    assert mixed == shuffled(text, "seed") != shuffled(text, "other")


def test_variants_are_shuffled_alike():
    source = open_pictures("test", 6)
    pairs = list(zip(Colors().samples(source), with_shuffled_words(Colors()).samples(source), strict=True))
    assert len(pairs) > 3
    for plain, mixed in pairs:
        assert [words(text) for text in plain.texts] == [words(text) for text in mixed.texts]
        first, second = (text.split() for text in mixed.texts[:2])
        assert sum(one != two for one, two in zip(first, second, strict=True)) == 1
        assert (plain.id, plain.images, plain.cluster) == (mixed.id, mixed.images, mixed.cluster)


def test_every_family_can_be_shuffled():
    task = with_shuffled_words(Pairs())
    assert (task.name, task.task_type, task.primary_metric) == ("pairs_shuffled", "pairs", "acc")
    (plain,), (mixed,) = (list(one.samples(open_edits("test", 1)))[:1] for one in (Pairs(), task))
    assert list(map(words, plain.texts)) == list(map(words, mixed.texts))
    found = list(with_shuffled_words(Search()).samples(open_pictures("test", 2)))
    assert [len(sample.texts) for sample in found] == [5, 5]
