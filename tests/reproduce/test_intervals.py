import math

import pytest
from scipy import stats

from clipbench.reproduce.intervals import difference, over_seeds
from clipbench.reproduce.lookup import Cell, Value


def values(*numbers, stderr=0.01):
    return tuple(Value(seed, number, stderr, f"{seed}.json") for seed, number in enumerate(numbers))


def test_one_seed_has_the_error_of_its_samples():
    estimate = over_seeds([0.7], [0.02])
    assert (estimate.value, estimate.seeds) == (0.7, 1)
    assert estimate.margin == pytest.approx(1.959964 * 0.02)


def test_without_sampling_error_it_is_students_interval():
    seeds = [0.61, 0.64, 0.66, 0.60]
    low, high = stats.t.interval(0.95, 3, loc=sum(seeds) / 4, scale=stats.sem(seeds))
    estimate = over_seeds(seeds, [0.0] * 4)
    assert (estimate.low, estimate.high) == pytest.approx((low, high))


def test_more_seeds_do_not_make_the_error_over_samples_smaller():
    assert over_seeds([0.5] * 9, [0.02] * 9).margin == pytest.approx(over_seeds([0.5], [0.02]).margin)


def test_a_difference_is_paired_by_seed():
    found = difference([0.70, 0.80, 0.90], [0.0] * 3, [0.60, 0.70, 0.80], [0.0] * 3)
    assert (found.value, found.margin) == pytest.approx((0.1, 0.0))


def test_a_base_model_stands_for_every_seed():
    found = difference([0.7, 0.9], [0.03, 0.03], [0.6], [0.04])
    assert found.value == pytest.approx(0.2)
    assert found.margin == pytest.approx(math.hypot(1.959964 * 0.05, stats.t.ppf(0.975, 1) * 0.1))


@pytest.mark.parametrize(
    ("published", "agrees"),
    # One seed, 0.800 ± 0.0196; a published .82 is at least .815.
    [(0.80, True), (0.82, True), (0.78, True), (0.83, False), (0.77, False)],
)
def test_a_published_figure_agrees_where_it_may_lie_in_the_interval_before_it_was_rounded(published, agrees):
    assert Cell(values(0.8), published, comparable=True).agrees is agrees


def test_nothing_agrees_that_is_not_comparable_or_not_there():
    assert Cell(values(0.8), 0.8, comparable=False).agrees is None
    assert Cell(values(0.8), None, comparable=True).agrees is None
    assert Cell((), 0.8, comparable=True).agrees is None
    assert Cell(values(0.8, stderr=math.nan), 0.8, comparable=True).agrees is None
