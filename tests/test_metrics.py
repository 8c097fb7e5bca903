import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipbench.metrics import (
    best_rank,
    chance_corrected,
    cosine_similarity,
    mean_stderr,
    paired_scores,
    recall_at_k,
    top1,
)
from clipbench.utils import counting
from clipbench.utils.counting import BalancedMean, ClusteredMean, Distinct, Mean


def filled(pairs):
    mean = ClusteredMean()
    for value, cluster in pairs:
        mean.add(value, cluster)
    return mean


def test_a_tie_is_not_a_win():
    assert top1(np.float32([1, 1, 1])) == (False, True)
    assert top1(np.float32([2, 1, 1])) == (True, False)
    assert top1(np.float32([1, 2, 2])) == (False, False)


def test_nan_never_wins():
    assert top1(np.float32([np.nan, 1])) == (False, False)
    assert top1(np.float32([1, np.nan])) == (False, False)


def test_ranks_by_hand():
    scores = np.float32([0.9, 0.5, 0.7, 0.5, 0.1])
    assert best_rank(scores, np.array([0])) == (1, False)
    assert best_rank(scores, np.array([2])) == (2, False)
    assert best_rank(scores, np.array([1])) == (4, True)  # its equal is put ahead
    assert best_rank(scores, np.array([1, 3])) == (3, False)  # both equals are its own
    assert best_rank(scores, np.array([4, 2])) == (2, False)  # the better of its two


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.data())
def test_rank_counts_what_sorting_counts(values, data):
    own = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, unique=True))
    scores = np.float32(values)
    # Pessimistic sorting: higher first, and among equals the others before the query's own.
    order = sorted(range(len(values)), key=lambda i: (-values[i], i in own))
    assert best_rank(scores, np.array(own))[0] == 1 + min(order.index(i) for i in own)


@pytest.mark.parametrize(
    ("similarities", "image", "text"),
    [  # worked out by hand from s[i][t]; columns decide the image score, rows the text score
        ([[0.9, 0.1], [0.2, 0.8]], True, True),
        ([[0.9, 0.3], [0.6, 0.4]], True, False),
        ([[0.5, 0.4], [0.6, 0.7]], False, True),
        ([[0.1, 0.9], [0.8, 0.2]], False, False),
        ([[0.5, 0.1], [0.5, 0.8]], False, True),
        ([[0.5, 0.5], [0.1, 0.8]], True, False),
        ([[0.5, 0.5], [0.5, 0.5]], False, False),
        ([[math.nan, 0.1], [0.2, 0.8]], False, False),
    ],
)
def test_equation_1_by_hand(similarities, image, text):
    assert paired_scores(np.float32(similarities)) == (image, text, image and text)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.randoms(use_true_random=False))
def test_recall_is_that_of_sorting(images, captions, random):
    """Against a slow reference: sort, the own items last among equals, and look at the first k."""
    owners = [image for image in range(images) for _ in range(captions)]
    scores = np.float32([[random.randint(0, 4) / 4 for _ in owners] for _ in range(images)])
    own = [[column for column, owner in enumerate(owners) if owner == image] for image in range(images)]
    for similarities, items in ((scores, own), (scores.T, [[owner] for owner in owners])):
        hits = dict.fromkeys((1, 2, 5), 0)
        for row, mine in zip(similarities, items, strict=True):
            order = sorted(range(len(row)), key=lambda item: (-row[item], item in mine))
            for k in hits:
                hits[k] += bool(set(order[:k]) & set(mine))
        expected = {k: count / len(similarities) for k, count in hits.items()}
        assert recall_at_k(similarities, items, cutoffs=(1, 2, 5)) == pytest.approx(expected)


def test_the_clustered_standard_error_by_hand():
    # Cluster sums 2 of 2, 0 of 1, 1 of 1; mean 3/4; deviations 1/2, −3/4, 1/4: squares sum to 14/16.
    mean = filled([(1, "a"), (1, "a"), (0, "b"), (1, "c")])
    assert mean.mean == 0.75
    assert mean.stderr == pytest.approx(math.sqrt(3 / 2 * 14 / 16) / 4)
    assert (mean.count, mean.clusters) == (4, 3)


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=50))
def test_with_one_value_a_cluster_it_is_the_ordinary_one(values):
    mean = filled([(value, str(index)) for index, value in enumerate(values)])
    assert mean.stderr == pytest.approx(np.std(values, ddof=1) / math.sqrt(len(values)), abs=1e-12)


@given(st.permutations([(float(i % 3 == 0), f"c{i % 4}") for i in range(20)]))
def test_order_changes_nothing(pairs):
    mean = filled(pairs)
    ordered = filled(sorted(pairs))
    assert (mean.mean, mean.stderr) == (ordered.mean, ordered.stderr)


def test_repeating_every_value_within_its_cluster_gains_nothing():
    pairs = [(float(i % 3 == 0), str(i)) for i in range(30)]
    assert filled(pairs * 5).stderr == pytest.approx(filled(pairs).stderr)


def test_too_little_to_say():
    assert math.isnan(ClusteredMean().mean)
    assert math.isnan(filled([(1, "a"), (0, "a")]).stderr)


def test_chance_centred_and_macro():
    assert (chance_corrected(1, 0.5), chance_corrected(0.5, 0.5), chance_corrected(0, 0.5)) == (1, 0, -1)
    assert mean_stderr([0.3, 0.4]) == pytest.approx(0.25)


def test_equal_features_give_equal_scores_whatever_the_shape():
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, 515), dtype=np.float32)
    text = rng.standard_normal(515, dtype=np.float32)
    for count in (1, 2, 3, 7, 64, 81):
        scores = cosine_similarity(image, np.tile(text, (count, 1)))
        assert len(set(scores[0].tolist()) | {float(cosine_similarity(image, text[None])[0, 0])}) == 1


@pytest.mark.parametrize("recent", [1, 2, 7, 1000])
def test_a_clustered_mean_does_not_depend_on_how_many_clusters_are_held_in_full(monkeypatch, recent):
    monkeypatch.setattr(counting, "_RECENT", recent)
    rng = np.random.default_rng(recent)
    mean, distinct, totals = ClusteredMean(), Distinct(), {}
    for cluster, value in zip(rng.integers(0, 60, 500).tolist(), rng.random(500).tolist(), strict=True):
        mean.add(value, f"image {cluster}")
        distinct.add(f"image {cluster}")
        totals.setdefault(cluster, []).append(value)
    average = sum(map(sum, totals.values())) / 500
    squares = sum((sum(values) - len(values) * average) ** 2 for values in totals.values())
    assert (mean.count, mean.clusters, len(distinct)) == (500, len(totals), len(totals))
    assert mean.mean == pytest.approx(average, rel=1e-12)
    assert mean.stderr == pytest.approx(math.sqrt(len(totals) / (len(totals) - 1) * squares) / 500, rel=1e-9)


@pytest.mark.parametrize("unsummed", [1, 2, 7, 1000])
def test_a_mean_does_not_depend_on_the_order_of_its_values_or_on_how_many_it_keeps(monkeypatch, unsummed):
    monkeypatch.setattr(counting, "_UNSUMMED", unsummed)
    values = [1e16, 1 / 3, -1e16, 1 / 9, 0.1] * 20
    means = []
    for seed in range(5):
        mean = Mean()
        for value in np.random.default_rng(seed).permutation(values).tolist():
            mean.add(value)
        means.append(mean.mean)
        assert len(mean._values) < unsummed + 4
    assert set(means) == {math.fsum(values) / len(values)}
    assert math.isnan(Mean().mean)


def test_a_mean_of_something_that_is_no_number_is_none(monkeypatch):
    monkeypatch.setattr(counting, "_UNSUMMED", 2)
    mean = Mean()
    for value in (0.5, math.nan, 1.0, 0.25):
        mean.add(value)
    assert math.isnan(mean.mean)


@pytest.mark.parametrize("recent", [1, 3, 1000])
def test_a_count_that_was_closed_stays(monkeypatch, recent):
    monkeypatch.setattr(counting, "_RECENT", recent)
    distinct = Distinct()
    for number in range(100):
        distinct.add(f"image {number % 30}")
    assert len(distinct) == 30
    distinct.close()
    distinct.close()
    assert len(distinct) == 30


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_a_balanced_mean_is_what_a_slow_computation_finds(monkeypatch, at_once):
    monkeypatch.setattr(counting, "_AT_ONCE", at_once)
    rng = np.random.default_rng(at_once)
    clusters, groups = rng.integers(0, 40, 300).tolist(), rng.integers(0, 5, 300).tolist()
    values = (rng.integers(0, 4, 300) / 3).tolist()
    rows = list(zip(values, clusters, groups, strict=True))
    one, many = balanced([(v, f"c{c}", f"g{g}") for v, c, g in rows]), BalancedMean()
    many.extend(values, [f"c{c}" for c in clusters], [f"g{g}" for g in groups])
    means = {k: np.mean([v for v, _, g in rows if g == k]) for k in set(groups)}
    spread = {k: len({c for _, c, g in rows if g == k}) for k in set(groups)}
    moves = dict.fromkeys(clusters, 0.0)
    for value, cluster, group in rows:
        widened = math.sqrt(spread[group] / (spread[group] - 1))
        moves[cluster] += (value - means[group]) * widened / (len(means) * groups.count(group))
    stderr = math.sqrt(sum(move**2 for move in moves.values()))
    assert (one.mean, one.stderr) == (many.mean, many.stderr)
    assert (many.count, many.clusters) == (300, len(set(clusters)))
    assert (many.mean, many.stderr) == (pytest.approx(sum(means.values()) / 5), pytest.approx(stderr))


def balanced(values):
    mean = BalancedMean()
    for value, cluster, group in values:
        mean.add(value, cluster, group)
    return mean


def test_a_balanced_mean_by_hand():
    # cat: 1, 1, 0, mean 2/3, variance 1/3 over 3; dog: 0, 1, mean 1/2, variance 1/2 over 2. Images are independent.
    mean = balanced([(1, "a", "cat"), (1, "b", "cat"), (0, "c", "cat"), (0, "d", "dog"), (1, "e", "dog")])
    assert mean.mean == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert mean.stderr == pytest.approx(math.sqrt(1 / 9 + 1 / 4) / 2)
    assert (mean.count, mean.clusters) == (5, 5)


def test_a_balanced_mean_of_one_group_is_the_ordinary_one():
    pairs = [(float(i % 3 == 0), f"c{i % 4}") for i in range(21)]
    one, ordinary = balanced([(*pair, "g") for pair in pairs]), filled(pairs)
    assert (one.mean, one.stderr) == (pytest.approx(ordinary.mean), pytest.approx(ordinary.stderr))


def test_of_groups_of_one_image_each_the_spread_is_that_between_groups():
    mean = balanced([(1, "a", "cat"), (0, "b", "dog"), (0, "c", "hen"), (1, "d", "cow")])
    assert (mean.mean, mean.stderr) == (0.5, pytest.approx(math.sqrt(4 * 0.25) / 4))


def test_groups_that_move_together_in_an_image_are_not_independent():
    together = balanced([(value, f"i{i}", group) for i, value in enumerate([1, 0, 1, 0]) for group in ("cat", "dog")])
    apart = balanced([(v, f"{g}{i}", g) for i, v in enumerate([1, 0, 1, 0]) for g in ("cat", "dog")])
    assert together.stderr == pytest.approx(apart.stderr * math.sqrt(2))


@settings(deadline=None)
@given(st.permutations([(i % 7 / 7, f"c{i % 4}", f"g{i % 3}") for i in range(20)]))
def test_order_changes_no_balanced_mean(values):
    assert (balanced(values).mean, balanced(values).stderr) == (
        balanced(sorted(values)).mean, balanced(sorted(values)).stderr
    )  # fmt: skip


def test_too_little_to_say_of_groups():
    assert math.isnan(balanced([]).mean)
    assert math.isnan(balanced([(1, "a", "g"), (0, "a", "h")]).stderr)
