"""Trackers of runs, through accelerate: which there are, and what they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clipbench.errors import ConfigError
from clipbench.utils.registry import close_matches

PROJECT = "clipbench"
"""The project or experiment that runs are logged to."""


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that accelerate would silently skip.

    Raises:
        ConfigError: One is unknown or not installed.
    """
    if not names:
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known, installed = list(LOGGER_TYPE_TO_CLASS), [str(tracker) for tracker in get_available_trackers()]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"report_to {name}{close_matches(name, known)}: unknown tracker; choose from {', '.join(known)}"
            )
        if name not in installed:
            raise ConfigError(f"report_to {name}: not installed; run pip install {name}")


def plain_values(values: Mapping[str, object]) -> dict[str, int | float | str]:
    """A configuration as trackers take it: numbers and strings.

    Examples:
        >>> plain_values({"epochs": 3, "freeze": ("image",)})
        {'epochs': 3, 'freeze': "('image',)"}
    """
    return {name: value if isinstance(value, int | float | str) else str(value) for name, value in values.items()}
