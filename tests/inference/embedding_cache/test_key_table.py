import numpy as np
import pytest

from clipbench.inference.embedding_cache.key_table import KeyTable


def random_keys(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 16), dtype=np.uint8)


def test_an_empty_table_holds_nothing():
    assert KeyTable().find(random_keys(3)).tolist() == [-1, -1, -1]
    assert KeyTable().find(random_keys(0)).tolist() == []


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_it_finds_what_a_dictionary_finds(parts):
    keys, table, plain = random_keys(500), KeyTable(), {}
    for part in np.array_split(np.arange(400), parts):
        table.add(keys[part], part * 10)
        plain.update({keys[i].tobytes(): i * 10 for i in part})
    assert table.find(keys).tolist() == [plain.get(key.tobytes(), -1) for key in keys]
    assert len(table) == 400


def test_keys_that_agree_in_one_half_only_are_told_apart():
    key = random_keys(1)
    other_tail, other_head = key.copy(), key.copy()
    other_tail[0, 15] ^= 1
    other_head[0, 0] ^= 1
    table = KeyTable()
    table.add(key, np.array([5]))
    assert [table.find(k).tolist() for k in (key, other_tail, other_head)] == [[5], [-1], [-1]]


def test_zero_bytes_count():
    keys = np.zeros((2, 16), np.uint8)
    keys[1, 0] = 1
    table = KeyTable()
    table.add(keys, np.array([3, 4]))
    assert table.find(keys).tolist() == [3, 4]


def test_the_first_of_two_entries_is_found():
    table, key = KeyTable(), random_keys(1)
    table.add(key, np.array([9]))
    table.add(key, np.array([2]))
    assert table.find(key).tolist() == [9]
    table.remove(9, 10)
    assert table.find(key).tolist() == [2]


def test_a_range_of_places_is_forgotten():
    table, keys = KeyTable(), random_keys(10)
    table.add(keys, np.arange(10))
    table.remove(3, 6)
    assert table.find(keys).tolist() == [0, 1, 2, -1, -1, -1, 6, 7, 8, 9]
