"""Paired statistics the long way: every sign, every draw."""

from itertools import product

import numpy as np


def sign_flips(differences):
    """Share of all 2^G choices of signs whose sum is at least as far from 0."""
    observed = abs(sum(differences))
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return sum(abs(total) >= observed for total in sums) / len(sums)


def bootstrap_means(sums, sizes, resamples, seed):
    """Means of resamples of whole clusters, one draw after the other."""
    generator = np.random.default_rng(seed)
    means = []
    for _ in range(resamples):
        drawn = generator.integers(len(sums), size=len(sums))
        means.append(sums[drawn].sum() / sizes[drawn].sum())
    return np.array(means)


def holm(p_values):
    """From the definition: the largest of the first k corrected p-values, in order."""
    order = sorted(p_values)
    count = len(order)
    return [
        max(min(1, (count - place) * order[place]) for place in range(order.index(p) + 1))
        if p_values.count(p) == 1
        else None
        for p in p_values
    ]
