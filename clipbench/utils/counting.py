"""Running counts and means over a stream of samples: exact in any order, a few bytes per key."""

from __future__ import annotations

import math
from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from clipbench.utils.columns import CodeColumn, HashColumn, ValueColumn

_RECENT = 1 << 15  # keys at least that are held as they came before they are merged into the sorted ones
_UNSUMMED = 1 << 10  # values that a mean keeps before it sums them up
_AT_ONCE = 1 << 15  # values sorted at once


class Distinct:
    """The number of distinct keys, in 10 bytes per key.

    Keys are sorted 64-bit hashes; the chance of a collision among a million keys is one in thirty million.
    """

    def __init__(self) -> None:
        self._recent = array("q")
        self._keys: NDArray[np.int64] = np.empty(0, np.int64)
        self._closed: int | None = None

    def add(self, key: Hashable) -> None:
        """Count a key, a text or a tuple of them, unless it has been counted before."""
        self._recent.append(hash(key))
        if len(self._recent) >= max(_RECENT, len(self._keys) // 4):
            self._settle()

    def close(self) -> None:
        """Keep the number alone: no further key will be added."""
        self._closed = len(self)
        self._keys = np.empty(0, np.int64)

    def __len__(self) -> int:
        if self._closed is not None:
            return self._closed
        self._settle()
        return len(self._keys)

    def _settle(self) -> None:
        if self._recent:
            keys = np.concatenate([self._keys, np.asarray(self._recent)])
            self._recent = array("q")
            keys.sort()
            self._keys = keys[np.append(True, keys[1:] != keys[:-1])]


class KeyedTotals:
    """The sum and number of values by key, in 24 bytes per key, stored as in ``Distinct``."""

    def __init__(self) -> None:
        self._recent, self._values = array("q"), array("d")
        self._keys: NDArray[np.int64] = np.empty(0, np.int64)
        self._sums: NDArray[np.float64] = np.empty(0, np.float64)
        self._counts: NDArray[np.int32] = np.empty(0, np.int32)

    def extend(self, keys: Iterable[str], values: Iterable[float]) -> None:
        """Add one value for each of some keys."""
        self._recent.extend(map(hash, keys))
        self._values.extend(values)
        if len(self._recent) >= max(_RECENT, len(self._keys) // 4):
            self._settle()

    def __len__(self) -> int:
        self._settle()
        return len(self._keys)

    def parts(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int32]]]:
        """Yield sums and counts of all keys, in no particular order, some thousands at a time."""
        self._settle()
        for start in range(0, len(self._keys), _RECENT):
            yield self._sums[start : start + _RECENT], self._counts[start : start + _RECENT]

    def _settle(self) -> None:
        """Merge the recent keys into the sorted ones."""
        if not self._recent:
            return
        keys, key_of = np.unique(np.array(self._recent, np.int64), return_inverse=True)
        sums = np.bincount(key_of.reshape(-1), weights=np.array(self._values))
        counts = np.bincount(key_of.reshape(-1)).astype(np.int32)
        self._recent, self._values = array("q"), array("d")
        places = np.searchsorted(self._keys, keys)
        known = places < len(self._keys)
        known[known] = self._keys[places[known]] == keys[known]
        self._sums[places[known]] += sums[known]
        self._counts[places[known]] += counts[known]
        self._keys = np.insert(self._keys, places[~known], keys[~known])
        self._sums = np.insert(self._sums, places[~known], sums[~known])
        self._counts = np.insert(self._counts, places[~known], counts[~known])


class Mean:
    """A running mean; exact, so that it does not depend on the order of values.

    Examples:
        >>> mean = Mean()
        >>> for value in (0.1, 1e17, -1e17): mean.add(value)
        >>> mean.count, round(mean.mean, 4)
        (3, 0.0333)
    """

    def __init__(self) -> None:
        self.count = 0
        self._values: list[float] = []  # their exact sum is that of all values

    def add(self, value: float) -> None:
        """Add one value."""
        self.extend((value,))

    def extend(self, values: Sequence[float]) -> None:
        """Add several values."""
        self.count += len(values)
        self._values.extend(values)
        if len(self._values) >= _UNSUMMED:
            self._values = _exact_sum(self._values)

    @property
    def mean(self) -> float:
        """The mean; NaN if there are no values."""
        return math.fsum(self._values) / self.count if self.count else math.nan


class ClusteredMean:
    """A running mean and its standard error.

    Values of one cluster (five captions of one photograph) are not independent. With cluster sums
    ``S_g`` over ``n_g`` values, mean ``m``, ``n`` values and ``G`` clusters the standard error is
    ``sqrt(G / (G − 1) · Σ_g (S_g − n_g m)²) / n`` (Liang & Zeger 1986; Miller, arXiv 2411.00640, eq. 4,
    with the small-sample factor). With one value per cluster it is the ordinary ``s / √n``.

    Memory grows by 24 bytes per cluster.

    Examples:
        >>> mean = ClusteredMean()
        >>> for value, image in [(1, "a"), (1, "a"), (0, "b"), (1, "c")]: mean.add(value, image)
        >>> mean.mean, round(mean.stderr, 6)
        (0.75, 0.286411)
    """

    def __init__(self) -> None:
        self.count = 0
        self._totals = KeyedTotals()

    def add(self, value: float, cluster: str) -> None:
        """Add one value."""
        self.extend((value,), (cluster,))

    def extend(self, values: Sequence[float], clusters: Sequence[str]) -> None:
        """Add several values, each with its cluster."""
        self.count += len(values)
        self._totals.extend(clusters, values)

    @property
    def clusters(self) -> int:
        """The number of clusters seen."""
        return len(self._totals)

    @property
    def mean(self) -> float:
        """The mean; NaN if there are no values."""
        if not self.count:
            return math.nan
        return math.fsum(chain.from_iterable(sums.tolist() for sums, _ in self._totals.parts())) / self.count

    @property
    def stderr(self) -> float:
        """The standard error of the mean; NaN for fewer than two clusters."""
        groups, mean = self.clusters, self.mean
        if groups < 2:
            return math.nan
        parts = (np.square(sums - counts * mean).tolist() for sums, counts in self._totals.parts())
        return math.sqrt(groups / (groups - 1) * math.fsum(chain.from_iterable(parts))) / self.count


class BalancedMean:
    """A running mean of group means with equal weights, and its standard error.

    With the means ``m_k`` of ``K`` groups of ``n_k`` values each, the mean is ``Σ m_k / K``, and a value ``x`` of group
    ``k`` contributes ``(x − m_k) / (K n_k)`` to its error. The standard error is clustered as in ``ClusteredMean``:
    ``sqrt(Σ_g u_g²)`` with the sums ``u_g`` of contributions over each cluster. In these, ``x − m_k`` is multiplied by
    ``sqrt(G_k / (G_k − 1))`` for the ``G_k`` clusters of the group. A group with one cluster does not reveal its own
    spread, so its values are compared with the mean over groups.

    Memory grows by 11 bytes per value, or 3 where values of a cluster stand together; more where there are hundreds of
    distinct values or groups.

    Examples:
        >>> mean = BalancedMean()
        >>> for value, image in [(1, "a"), (1, "b"), (0, "c")]: mean.add(value, image, "cat")
        >>> for value, image in [(0, "d"), (1, "e")]: mean.add(value, image, "dog")
        >>> round(mean.mean, 6), round(mean.stderr, 6)
        (0.583333, 0.300463)
    """

    def __init__(self) -> None:
        self._groups, self._clusters, self._values = CodeColumn(), HashColumn(), ValueColumn()

    def add(self, value: float, cluster: str, group: str) -> None:
        """Add one value."""
        self.extend((value,), (cluster,), (group,))

    def extend(self, values: Sequence[float], clusters: Sequence[str], groups: Sequence[str]) -> None:
        """Add several values, each with its cluster and its group."""
        self._values.extend(values)
        self._clusters.extend(clusters)
        self._groups.extend(groups)

    @property
    def count(self) -> int:
        """The number of values."""
        return len(self._values)

    @property
    def clusters(self) -> int:
        """The number of clusters seen."""
        return self._clusters.distinct

    @property
    def mean(self) -> float:
        """The mean; NaN if there are no values."""
        return math.fsum(self._means()) / len(self._groups.codes) if self._values else math.nan

    @property
    def stderr(self) -> float:
        """The standard error of the mean; NaN for fewer than two clusters."""
        if self.clusters < 2:
            return math.nan
        group_of, cluster_of, values = self._groups.numbers(), self._clusters.numbers(), self._values.values()
        clusters = int(cluster_of.max()) + 1
        pairs = np.unique(group_of.astype(np.int64) * clusters + cluster_of)
        spread = np.bincount(pairs // clusters)  # clusters of each group
        del pairs
        alone = spread < 2
        centers = np.where(alone, self.mean, self._means())
        widened = np.where(alone, 1.0, np.sqrt(spread / np.maximum(spread - 1, 1)))
        values -= centers[group_of]
        values *= (widened / np.bincount(group_of))[group_of]
        sums = _sums(values, cluster_of)
        return math.sqrt(math.fsum(np.square(sums).tolist())) / len(self._groups.codes)

    def _means(self) -> list[float]:
        """The mean of each group."""
        group_of = self._groups.numbers()
        means: list[float] = (_sums(self._values.values(), group_of) / np.bincount(group_of)).tolist()
        return means


class JointMean(BalancedMean):
    """The share of groups in which every value is 1, and its standard error, clustered.

    Examples:
        >>> share = JointMean()
        >>> for value, name in [(1, "a"), (1, "a"), (1, "b"), (0, "b")]: share.add(value, name, name)
        >>> share.mean, share.stderr
        (0.5, 0.5)
    """

    @property
    def stderr(self) -> float:
        """The standard error of the share; NaN for fewer than two clusters."""
        clusters = dict(zip(self._groups.numbers().tolist(), self._clusters.numbers().tolist(), strict=True))
        total = ClusteredMean()
        for group, value in enumerate(self._means()):
            total.add(value, str(clusters[group]))  # a group lies within a cluster
        return total.stderr

    def _means(self) -> list[float]:
        return [float(mean == 1) for mean in super()._means()]


def _sums(values: NDArray[np.float64], groups: NDArray[np.int32]) -> NDArray[np.float64]:
    """Sums by group, numbered from 0, the smallest values first: the same in any order."""
    order = np.lexsort((values, groups))
    sums = np.zeros(int(groups.max()) + 1)
    for start in range(0, len(order), _AT_ONCE):
        some = order[start : start + _AT_ONCE]
        np.add.at(sums, groups[some], values[some])
    return sums


def _exact_sum(values: list[float]) -> list[float]:
    """A few values with the same exact sum: it rounded, what rounding took away, and so on."""
    parts: list[float] = []
    while part := math.fsum([*values, *(-done for done in parts)]):
        if not math.isfinite(part):
            return [part]
        parts.append(part)
    return parts
