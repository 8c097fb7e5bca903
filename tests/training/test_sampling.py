import numpy as np
import pytest

from clipbench.training.sampling import distinct, epoch_order, position_uniforms, substitution_uniforms


def test_an_epochs_order_is_a_permutation_of_its_own():
    orders = [epoch_order(seed, epoch, 500) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    for order in orders:
        assert sorted(order) == list(range(500))
    assert all((left != right).mean() > 0.9 for left, right in zip(orders, orders[1:] + orders[:1], strict=True))


@pytest.mark.parametrize("draw", [substitution_uniforms, position_uniforms])
def test_a_draw_depends_on_seed_epoch_and_sample_alone(draw):
    many = draw(7, 3, 1000, 2)
    assert np.array_equal(draw(7, 3, 10, 2), many[:10])
    assert np.array_equal(draw(7, 3, 1000, 2), many)
    assert not np.isin(many, draw(7, 4, 1000, 2)).any()
    assert not np.isin(many, draw(8, 3, 1000, 2)).any()


def test_what_is_exchanged_says_nothing_of_where_it_goes():
    substitutions, cells = substitution_uniforms(0, 0, 4000, 1), position_uniforms(0, 0, 4000, 1)
    assert abs(np.corrcoef(substitutions[:, 1], cells[:, 0])[0, 1]) < 0.06


def test_distinct_draws_without_replacement_and_evenly():
    rows = 20_000
    uniforms = position_uniforms(0, 0, rows, 3)
    own = np.arange(rows) % 6
    picks = distinct(uniforms, np.full(rows, 6), taken=own)
    together = np.concatenate([picks, own[:, None]], axis=1)
    assert all(len(set(row)) == 4 for row in together.tolist())
    assert picks.min() == 0
    assert picks.max() == 5
    for column in picks.T:  # each of the five others one time in five: 4 standard errors
        shares = np.bincount((column - own) % 6, minlength=6)[1:] / rows
        assert np.abs(shares - 0.2).max() < 4 * (0.16 / rows) ** 0.5


def test_distinct_takes_all_where_all_are_wanted():
    picks = distinct(position_uniforms(0, 0, 50, 3), np.full(50, 3))
    assert np.array_equal(np.sort(picks, axis=1), np.tile([0, 1, 2], (50, 1)))
