"""Columns in few bytes hold what lists would."""

import numpy as np
import pytest

from clipbench.utils.columns import CodeColumn, HashColumn, ValueColumn


def first_places(values):
    """For each value where it was first seen: equal for equal columns, however they number their keys."""
    seen = {}
    return [seen.setdefault(value, len(seen)) for value in values]


@pytest.mark.parametrize("step", [1, 7, 5000])
@pytest.mark.parametrize("column", [HashColumn, CodeColumn])
@pytest.mark.parametrize("repeats", [1, 3, 254, 255, 256, 600])
def test_keys_are_told_apart_and_found_again(column, repeats, step):
    rng = np.random.default_rng(repeats)
    keys = [f"key {key}" for key in rng.integers(0, 300, 2000 // repeats + 400) for _ in range(repeats)][:3000]
    filled = column()
    for start in range(0, len(keys), step):
        filled.extend(keys[start : start + step])
    filled.append("last")
    keys.append("last")
    assert first_places(filled.numbers().tolist()) == first_places(keys)
    if column is HashColumn:
        assert filled.distinct == len(set(keys))
    else:
        assert list(filled.codes) == list(dict.fromkeys(keys))
        assert [list(filled.codes)[number] for number in filled.numbers()] == keys


@pytest.mark.parametrize("distinct", [1, 2, 255, 256, 257, 1000])
@pytest.mark.parametrize("step", [1, 7, 5000])
def test_values_are_exact_however_many_are_distinct(distinct, step):
    values = (np.random.default_rng(distinct).integers(0, distinct, 2500) / 7).tolist()
    column = ValueColumn()
    for start in range(0, len(values), step):
        column.extend(values[start : start + step])
    assert column.values().tolist() == values
    assert len(column) == len(values)


def test_empty_columns():
    assert [len(column) for column in (CodeColumn(), ValueColumn())] == [0, 0]
    assert [len(column.numbers()) for column in (CodeColumn(), HashColumn())] == [0, 0]
    assert (HashColumn().distinct, len(ValueColumn().values())) == (0, 0)


def test_a_million_values_take_a_few_megabytes():
    import tracemalloc

    from clipbench.utils.counting import BalancedMean

    tracemalloc.start()
    mean = BalancedMean()
    for image in range(0, 200_000, 200):
        clusters = [f"{image + number // 5}.jpg" for number in range(1000)]
        mean.extend([float(number % 2) for number in range(1000)], clusters, ["left"] * 1000)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert mean.count == 1_000_000
    assert kept < 5_000_000
