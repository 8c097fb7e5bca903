"""Flags for the fields of an option class: the class gives the defaults, for the command line as for Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Generic, TypeVar

import click

from clipbench.cli.values import parse_pairs
from clipbench.errors import ConfigError
from clipbench.utils.text import reason

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def flag(*names: str, **attributes: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Names and attributes of a flag, as ``click.option`` takes them; without a default."""
    return names, attributes


class Section(Generic[T]):
    """The flags of one option class.

    Args:
        options_class: The frozen dataclass.
        **flags: Field to its ``flag``; fields without one keep their defaults. A field without a default is
            required.
    """

    def __init__(self, options_class: type[T], **flags: tuple[tuple[str, ...], dict[str, Any]]) -> None:
        self._options_class = options_class
        defaults = {field.name: field.default for field in fields(options_class)}  # type: ignore[arg-type]
        self._options = {
            name: click.option(*names, name, **_default(defaults[name], attributes), **attributes)
            for name, (names, attributes) in flags.items()
        }

    def __call__(self, command: F) -> F:
        """Add the flags to a command, as a decorator."""
        for option in reversed(self._options.values()):
            command = option(command)
        return command

    def build(self, values: Mapping[str, Any], **further: Any) -> T:
        """Make the options from a command's parameters; ``further`` are fields that have no flag of their own."""
        return self._options_class(**{name: values[name] for name in self._options}, **further)


def _default(default: Any, attributes: Mapping[str, Any]) -> dict[str, Any]:
    if default is MISSING:  # also of a field with a factory, whose flag is repeatable
        return {} if attributes.get("multiple") else {"required": True}
    text = ",".join(default) if isinstance(default, tuple) else default
    return {"default": text, "show_default": text not in (None, "", False)}


def comma_separated(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """Callback: split a list of names."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def numbers(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, float]:
    """Callback: read ``NAME=NUMBER``, separated by commas."""
    flag_name = param.opts[0]
    pairs = parse_pairs(tuple(part for text in value for part in text.split(",") if part.strip()), flag_name)
    try:
        return {name: float(number) for name, number in pairs.items()}
    except ValueError as error:
        raise ConfigError(f"{flag_name} {','.join(value)}: {reason(error)}: give numbers, as in beta=0.5") from None


def shares(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, float]:
    """Callback: read repeated ``NAME=SHARE``; the name may have ``=`` in it, as ``scenes=4000``."""
    found: dict[str, float] = {}
    for text in value:
        name, _, number = text.rpartition("=")
        try:
            share = float(number)
        except ValueError:
            share = math.nan
        if not name or math.isnan(share):
            raise ConfigError(f"{param.opts[0]} {text}: write NAME=SHARE, as in general=0.5")
        if name in found:
            raise ConfigError(f"{param.opts[0]} {name} is given twice")
        found[name] = share
    return found


def places(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    """Callback: read repeated ``NAME=PLACE``."""
    return parse_pairs(value, param.opts[0])
