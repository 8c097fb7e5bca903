"""Rules that see no image: against slow references, and on the official captions of COCO and Flickr8k."""

import random
import re
from pathlib import Path

import numpy as np
import pytest

from clipbench.concepts import Concept, load_concept
from clipbench.data import open_source
from clipbench.task_types import blind
from clipbench.task_types.blind import BlindScores, KeywordRules, TextRules, true_wins
from clipbench.task_types.registry import select_tasks
from clipbench.types import Sample
from tests.reference import blind as reference

ROOT = Path(__file__).parents[2]

# Figures for COCO val2017: rules that never see an image, as shares of the paper's samples.
COCO = {"object": (0.072, 0.302), "color": (0.256, 0.388), "location": (0.697, 0.719), "size": (0.640, 0.709)}
# For the test photographs of Flickr8k: the keyword prior over samples, and averaged over keywords.
FLICKR8K = {"object": (0.567, 0.023), "color": (0.218, 0.111), "location": (0.797, 0.500), "size": (0.731, 0.583)}

WORDS = ["a", "the", "cat", "dog", "runs,", "Cats!"]


def choices(texts, image, number=0, true_texts=1, group="g"):
    return Sample(f"s{number}", (), texts, group, image, true_texts)


def by_rule(rules, samples):
    for sample in samples:
        rules.add(sample)
    return {rule: wins.tolist() for rule, wins in rules.wins().items()}


def caption_samples(seed, count=60, images=9):
    """Captions of few words, so that counts are small, ties frequent, and many neighbors unseen."""
    draw = random.Random(seed)
    concept = Concept("c", {"red": ("blue", "green"), "blue": ("red", "green"), "long": ("short",)})
    samples = []
    while len(samples) < count:
        words = draw.choices(["red", "blue", "long", "a", "A", "the", "cat,", "dog"], k=draw.randint(1, 5))
        variants = concept.variants(" ".join(words))
        if variants is not None:
            image = f"image {draw.randrange(images)}"
            samples.append(choices(variants, image, len(samples), group=variants.keyword))
    return samples


@pytest.mark.parametrize("seed", range(8))
def test_keyword_rules_decide_as_the_slow_reference(seed, monkeypatch):
    monkeypatch.setattr(blind, "_AT_ONCE", 1 + 10 * seed)
    samples = caption_samples(seed)
    rules = KeywordRules()
    wins, decided = by_rule(rules, samples), reference.keyword_rules(samples)
    assert list(zip(wins["keyword_prior"], wins["context_prior"], strict=True)) == decided
    assert list(rules.scores().balanced.values()) == pytest.approx(reference.balanced(samples, decided), abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_text_rules_decide_as_the_slow_reference(seed):
    draw = random.Random(seed)
    samples, true_counts = [], []
    for number in range(50):
        texts = [" ".join(draw.choices(WORDS, k=draw.randint(0, 4))) for _ in range(5)]
        texts = texts[: draw.randint(2, 5)]
        true_counts.append(draw.randint(1, len(texts) - 1))
        image, group = f"image {draw.randrange(8)}", f"relation {draw.randrange(5)}"
        samples.append(choices(texts, image, number, true_counts[-1], group))
    rules = TextRules()
    wins = by_rule(rules, samples)
    assert list(wins) == ["longest_text", "shortest_text", "word_frequency", "word_pair_frequency"]
    decided = list(zip(*wins.values(), strict=True))
    assert decided == reference.text_rules(samples, true_counts)
    assert list(rules.scores().balanced.values()) == pytest.approx(reference.balanced(samples, decided), abs=1e-12)


@pytest.mark.parametrize("rules", [KeywordRules, TextRules])
def test_the_order_of_samples_changes_nothing(rules):
    samples = caption_samples(0)
    one, other = by_rule(rules(), samples), by_rule(rules(), samples[::-1])
    assert one == {rule: wins[::-1] for rule, wins in other.items()}


def test_no_text_is_judged_by_its_own_image():
    """Of one image alone nothing is known, so every rule that counts ties, and a tie is no win."""
    location = load_concept("location")
    one_image = [choices(location.variants("a cat on the left"), "i") for _ in range(5)]
    assert KeywordRules().scores() == BlindScores({}, {})
    assert not any(map(any, by_rule(KeywordRules(), one_image).values()))
    texts = [choices(["a cat", "a dog"], "i") for _ in range(5)]
    wins = by_rule(TextRules(), texts)
    assert not any(wins["word_frequency"] + wins["word_pair_frequency"])
    other_image = choices(location.variants("the cat on the left"), "j")
    assert by_rule(KeywordRules(), [*one_image, other_image])["keyword_prior"] == [True] * 6


def test_the_neighbors_decide_and_behind_unseen_ones_the_prior_does():
    location = load_concept("location")
    captions = ["it is on the left side"] * 3 + ["my right hand"] * 2 + ["her right hand", "foo left bar"]
    samples = [choices(location.variants(caption), f"image {n}") for n, caption in enumerate(captions)]
    wins = by_rule(KeywordRules(), samples)
    assert wins["keyword_prior"] == [False, False, False, False, False, False, False]  # 4 to 3; without own 3 to 3
    samples.append(choices(location.variants("only left here"), "image 7"))
    wins = by_rule(KeywordRules(), samples)
    assert wins["keyword_prior"] == [True, True, True, False, False, False, True, True]
    assert wins["context_prior"] == [True, True, True, True, True, True, True, True]


def test_texts_of_the_same_words_tie():
    order = [choices(["the dog sees a cat", "a cat sees the dog"], f"image {n}") for n in range(7)]
    wins = by_rule(TextRules(), order)
    assert not any(any(won) for rule, won in wins.items() if rule != "word_pair_frequency")
    assert all(wins["word_pair_frequency"])


def test_equal_products_of_counts_tie():
    """In other images a occurs once, b five times, c twice, d three times: 2 · 6 = 3 · 4."""
    others = ["a", *"bbbbb", *"cc", *"ddd"]
    samples = [choices([word, "never seen"], f"image {n}") for n, word in enumerate(others)]
    for texts in (["a b", "c d"], ["c d", "a b"]):
        assert not by_rule(TextRules(), [*samples, choices(texts, "own")])["word_frequency"][-1]


def test_all_true_texts_must_win():
    scores, starts = np.array([3.0, 2, 1, 3, 1, 1]), np.array([0, 3])
    assert true_wins(scores, np.array([True, True, False, True, True, False]), starts).tolist() == [True, False]


def ranking_samples(name, folder):
    (task,) = select_tasks(name)
    return task, list(task.samples(open_source(task.dataset, folder)))


@pytest.mark.parametrize("concept", COCO)
def test_the_floor_of_the_papers_rankings(coco_folder, concept):
    task, samples = ranking_samples(f"coco_{concept}", str(coco_folder))
    assert len(samples) == task.expected_n
    rules = task.blind_rules()
    by_rule(rules, samples)
    keyword_prior, context_prior = COCO[concept]
    scores = rules.scores()
    assert scores.shares["keyword_prior"] == pytest.approx(keyword_prior, abs=0.005)
    assert scores.shares["context_prior"] >= context_prior
    row = re.search(rf"^\| {concept} \|.*$", (ROOT / "docs/scoring.md").read_text(encoding="utf-8"), re.MULTILINE)
    printed = [float(cell) for cell in row.group().strip("| ").split(" | ")[2:4]]
    assert printed == [round(share, 3) for share in scores.shares.values()]
    # The text below the table: the same averaged over keywords.
    page = " ".join((ROOT / "docs/scoring.md").read_text(encoding="utf-8").split())
    keyword_text = re.search(r"the keyword prior is worthless \(([\d., ]+);", page).group(1)
    context_text = re.search(r"the context prior is not \(([\d., ]+)\)", page).group(1)
    place = ["object", "color", "location", "size"].index(concept)
    for rule, text in (("keyword_prior", keyword_text), ("context_prior", context_text)):
        by_keyword = {}
        for sample, won in zip(samples, rules.wins()[rule], strict=True):
            by_keyword.setdefault(sample.group, []).append(won)
        mean = np.mean([np.mean(won) for won in by_keyword.values()])
        assert scores.balanced[rule] == pytest.approx(mean, abs=1e-12)
        assert round(mean, 3) == float(text.split(", ")[place]), rule


@pytest.mark.parametrize("concept", FLICKR8K)
def test_averaged_over_keywords_the_keyword_prior_is_worth_nothing(coco_folder, concept):
    folder = coco_folder.parent / "flickr8k"
    if not folder.is_dir():
        pytest.skip(f"Flickr8k is not in {folder}")
    test, train = ((folder / f"Flickr_8k.{part}Images.txt").read_text().split() for part in ("test", "train"))
    lines = (line.split("\t") for line in (folder / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines())
    captions = ((name.partition("#")[0], caption) for name, caption in lines)
    # As one image, the test photographs are left out of each other's counts.
    table, images = load_concept(concept), {**dict.fromkeys(test, "test"), **{name: name for name in train}}
    samples = [
        choices(variants, images[image])
        for image, caption in captions
        if image in images and (variants := table.variants(caption))
    ]
    wins = by_rule(KeywordRules(), samples)["keyword_prior"]
    by_keyword = {}
    for sample, won in zip(samples, wins, strict=True):
        if sample.cluster == "test":
            by_keyword.setdefault(sample.texts.keyword, []).append(won)
    share, balanced = FLICKR8K[concept]
    assert sum(map(sum, by_keyword.values())) / sum(map(len, by_keyword.values())) == pytest.approx(share, abs=0.005)
    assert np.mean([np.mean(won) for won in by_keyword.values()]) == pytest.approx(balanced, abs=0.001)


@pytest.mark.parametrize("name", ["flickr8k_location", "flickr8k_dev_size"])
def test_on_real_captions_as_the_slow_reference(coco_folder, name):
    folder = coco_folder.parent / "flickr8k"
    if not folder.is_dir():
        pytest.skip(f"Flickr8k is not in {folder}")
    task, samples = ranking_samples(name, str(folder))
    rules = task.blind_rules()
    by_rule(rules, samples)
    decided, scores = reference.keyword_rules(samples), rules.scores()
    assert list(scores.balanced.values()) == pytest.approx(reference.balanced(samples, decided), abs=1e-12)
    assert list(scores.shares.values()) == pytest.approx(np.mean(decided, axis=0).tolist(), abs=1e-12)


@pytest.mark.parametrize("concept", ["object", "color", "location", "size"])
def test_on_scenes_as_the_slow_reference(concept):
    task, samples = ranking_samples(f"scenes_{concept}", None)
    some = samples[:300]
    wins = by_rule(task.blind_rules(), some)
    assert list(zip(wins["keyword_prior"], wins["context_prior"], strict=True)) == reference.keyword_rules(some)
