"""Bounds of options: an absurd number is a mistake, and is refused before anything is allocated for it."""

from __future__ import annotations

import math
from numbers import Integral, Real

from clipbench.errors import ConfigError

MOST_WORKERS = 1024
MOST_IN_A_BATCH = 1_000_000
MOST_SAMPLES = 10**12
_SHOWN = 10**18


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """Refuse what is not a whole number from ``least`` to ``most``.

    Raises:
        ConfigError: Names the option, its value and the bounds.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ConfigError(f"{name} {value!r}: give a whole number")
    _check_bounds(name, int(value), least, most)


def check_number(name: str, value: object, least: float, most: float) -> None:
    """Refuse what is not a finite number from ``least`` to ``most``.

    Raises:
        ConfigError: Names the option, its value and the bounds.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not _is_finite(value):
        raise ConfigError(f"{name} {value!r}: give a number")
    _check_bounds(name, float(value), least, most)


def check_limit(name: str, value: object) -> None:
    """Refuse what is neither a number of samples nor a share of them.

    Raises:
        ConfigError: Names the option and its value.
    """
    if isinstance(value, float) and 0 < value < 1:
        return
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ConfigError(f"{name} {value!r}: give a whole number of samples, or a share between 0 and 1 such as 0.1")
    check_whole(name, value, 1, MOST_SAMPLES)


def _check_bounds(name: str, value: float, least: float, most: float) -> None:
    shown = f" {value:,}" if abs(value) < _SHOWN else ""
    if value < least:
        raise ConfigError(f"{name}{shown}: give {least:,} or more")
    if value > most:
        raise ConfigError(f"{name}{shown}: give {most:,} or less")


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the range of floats
        return False
