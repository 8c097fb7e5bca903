"""Columns of numbers, one for each of millions of samples: whole and exact, in few bytes."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

_LONGEST_RUN = 255  # in a byte
_BYTE_CODES = 256


class HashColumn:
    """64-bit hashes of keys, of which equal ones mostly stand together: 9 bytes per run of equal keys.

    The chance of a collision is that in ``Distinct``.

    Examples:
        >>> column = HashColumn()
        >>> column.extend(["a.jpg", "a.jpg", "b.jpg"])
        >>> column.append("a.jpg")
        >>> column.distinct, len(set(column.numbers()[[0, 1, 3]].tolist()))
        (2, 1)
    """

    def __init__(self) -> None:
        self._hashes, self._lengths = array("q"), array("B")

    def append(self, key: Hashable) -> None:
        """Add a key."""
        self._add(hash(key), 1)

    def extend(self, keys: Iterable[Hashable]) -> None:
        """Add several keys."""
        for code, run in groupby(map(hash, keys)):
            self._add(code, len(list(run)))

    def _add(self, code: int, count: int) -> None:
        if self._hashes and self._hashes[-1] == code:
            fitting = min(count, _LONGEST_RUN - self._lengths[-1])
            self._lengths[-1] += fitting
            count -= fitting
        while count:
            self._hashes.append(code)
            self._lengths.append(min(count, _LONGEST_RUN))
            count -= self._lengths[-1]

    @property
    def distinct(self) -> int:
        """The number of distinct keys."""
        return len(np.unique(np.array(self._hashes)))

    def numbers(self) -> NDArray[np.int32]:
        """Consecutive numbers from 0, equal for equal keys."""
        numbers = np.unique(np.array(self._hashes, np.int64), return_inverse=True)[1].reshape(-1)
        return np.repeat(numbers.astype(np.int32), np.array(self._lengths, np.uint8))


class CodeColumn:
    """Keys of which few are distinct: a byte for each while there are up to 256 of them, then four.

    Attributes:
        codes: The distinct keys, numbered from 0 as they came.

    Examples:
        >>> column = CodeColumn()
        >>> column.extend(["cat", "dog", "cat"])
        >>> column.codes, column.numbers().tolist()
        ({'cat': 0, 'dog': 1}, [0, 1, 0])
    """

    def __init__(self) -> None:
        self.codes: dict[Hashable, int] = {}
        self._column = array("B")

    def __len__(self) -> int:
        return len(self._column)

    def append(self, key: Hashable) -> None:
        """Add a key."""
        code = self.codes.setdefault(key, len(self.codes))
        self._widen()
        self._column.append(code)

    def extend(self, keys: Sequence[Hashable]) -> None:
        """Add several keys."""
        for key in dict.fromkeys(keys):
            self.codes.setdefault(key, len(self.codes))
        self._widen()
        self._column.extend(map(self.codes.__getitem__, keys))

    def _widen(self) -> None:
        if len(self.codes) > _BYTE_CODES and self._column.typecode == "B":
            self._column = array("i", self._column)

    def numbers(self) -> NDArray[np.int32]:
        """The key of each, by its number."""
        return np.array(self._column, np.int32)


class ValueColumn:
    """Numbers, mostly 0 and 1: a byte for each while few are distinct, otherwise eight.

    Examples:
        >>> column = ValueColumn()
        >>> column.extend([1.0, 0.0, 1.0])
        >>> column.values().tolist()
        [1.0, 0.0, 1.0]
    """

    def __init__(self) -> None:
        self._few = CodeColumn()
        self._many: array[float] | None = None

    def __len__(self) -> int:
        return len(self._few if self._many is None else self._many)

    def extend(self, values: Sequence[float]) -> None:
        """Add several numbers."""
        if self._many is None and len(self._few.codes.keys() | set(values)) > _BYTE_CODES:
            self._many = array("d", self.values().tobytes())
        if self._many is None:
            self._few.extend(values)
        else:
            self._many.extend(values)

    def values(self) -> NDArray[np.float64]:
        """The numbers."""
        if self._many is not None:
            return np.array(self._many)
        return np.fromiter(self._few.codes, np.float64)[self._few.numbers()]
