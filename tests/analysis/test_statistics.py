import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipbench.analysis.statistics import clustered_bootstrap, holm, mcnemar_exact, sign_flip_test
from tests.reference import paired

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 5), (3, 14), (120, 90), (0, 40), (1300, 1100)])
def test_mcnemar_is_the_exact_binomial_test(only_a, only_b):
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1
    assert mcnemar_exact(only_a, only_b) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_exact(only_b, only_a) == mcnemar_exact(only_a, only_b)


def test_mcnemar_and_holm_as_in_statsmodels():
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    multiple = pytest.importorskip("statsmodels.stats.multitest")
    generator = np.random.default_rng(0)
    p_values = []
    for _ in range(20):
        a, b = (int(number) for number in generator.integers(0, 60, 2))
        p_values.append(mcnemar_exact(a, b))
        assert p_values[-1] == pytest.approx(tables.mcnemar([[9, a], [b, 9]], exact=True).pvalue, abs=1e-12)
    assert holm(p_values) == pytest.approx(multiple.multipletests(p_values, method="holm")[1], abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=11))
def test_the_sign_flip_test_counts_every_choice_of_signs(differences):
    assert sign_flip_test(differences) == pytest.approx(paired.sign_flips(differences), abs=1e-12)


def test_the_sign_flip_test_as_in_scipy():
    differences = np.random.default_rng(1).integers(-3, 4, 12)
    found = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_test(differences) == pytest.approx(found.pvalue, abs=1e-12)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 50))
def test_with_one_sample_an_image_both_tests_are_one(only_a, only_b, agreeing):
    differences = [1] * only_a + [-1] * only_b + [0] * agreeing
    assert sign_flip_test(differences) == pytest.approx(mcnemar_exact(only_a, only_b), rel=1e-6)


def test_captions_that_turn_together_count_as_less_than_as_many_that_turn_alone():
    assert sign_flip_test([5] * 6) == pytest.approx(2 / 2**6)
    assert mcnemar_exact(30, 0) == pytest.approx(2 / 2**30)


def test_holm_by_hand_and_by_definition():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []
    p_values = np.random.default_rng(2).uniform(0, 0.2, 15).tolist()
    assert holm(p_values) == pytest.approx(paired.holm(p_values))


def test_the_bootstrap_is_that_of_drawing_clusters():
    generator = np.random.default_rng(3)
    sizes = generator.integers(1, 6, 80).astype(float)
    sums = np.array([generator.integers(-size, size + 1) for size in sizes], dtype=float)
    found = clustered_bootstrap(sums, sizes, resamples=8_000)
    means = paired.bootstrap_means(sums, sizes, 8_000, seed=4)
    assert found.difference == pytest.approx(sums.sum() / sizes.sum())
    assert (found.low, found.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.008)
    assert found.stderr == pytest.approx(means.std(), rel=0.05)


def test_no_interval_from_one_image():
    found = clustered_bootstrap(np.array([2.0]), np.array([5.0]))
    assert found.difference == pytest.approx(0.4)
    assert np.isnan([found.low, found.high, found.stderr]).all()


def test_intervals_cover_the_truth_only_where_they_are_clustered():
    """Five captions of a photograph that share most of their luck; 150 photographs; 300 experiments."""
    generator = np.random.default_rng(5)
    truth, captions, images, covered, naive = 0.1, 5, 150, 0, 0
    for experiment in range(300):
        own = generator.choice([1, 0, -1], p=[0.25, 0.6, 0.15], size=(images, captions))
        shared = generator.choice([1, 0, -1], p=[0.25, 0.6, 0.15], size=(images, 1))
        differences = np.where(generator.random((images, captions)) < 0.8, shared, own)
        found = clustered_bootstrap(
            differences.sum(1).astype(float), np.full(images, float(captions)), resamples=600, seed=experiment
        )
        covered += found.low <= truth <= found.high
        naive += abs(differences.mean() - truth) <= 1.96 * differences.std(ddof=1) / differences.size**0.5
    assert 0.925 <= covered / 300 <= 0.97
    assert naive / 300 < 0.8
