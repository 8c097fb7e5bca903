"""``--config``: a YAML file of flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from clipbench.cli.command import takes_list
from clipbench.cli.foreign_flags import explain_flag
from clipbench.errors import ConfigError
from clipbench.utils.registry import close_matches


def read_config(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    """Let a YAML file set defaults: flags take precedence over the file, the file over the built-in default."""
    if value is None:
        return
    from clipbench.utils.yaml import read_yaml

    data = read_yaml(value)
    if not isinstance(data, dict):
        raise ConfigError(f"{value}:1: expected a mapping of flags to values")
    # A flag's name is not always its parameter's: `--format` fills `style`.
    known = {flag.lstrip("-"): option for option in ctx.command.params for flag in option.opts}
    defaults: dict[str, Any] = {}
    for key, entry in data.items():
        option = known.get(str(key).replace("-", "_"))
        if not isinstance(option, click.Option) or option.name is None or option is param:
            answer = explain_flag(str(key), [f"{key}={entry}"])
            raise ConfigError(f"{value}: {answer or f'unknown flag {key!r}{close_matches(str(key), known)}'}")
        if option.name in defaults:
            raise ConfigError(f"{value}: {key}: this flag is given twice, under two names")
        if entry is None:
            continue  # as if it were not there
        try:
            defaults[option.name] = _as_flag(option, entry)
            for part in defaults[option.name] if option.multiple else [defaults[option.name]]:
                option.type.convert(part, option, ctx)
        except (click.BadParameter, ValueError) as error:
            raise ConfigError(f"{value}: {key}: {getattr(error, 'message', error)}") from None
    ctx.default_map = {**(ctx.default_map or {}), **defaults}


def _as_flag(option: click.Option, entry: Any) -> Any:
    """The value as the command line would have it: YAML has lists, mappings and numbers, and flags take text.

    Raises:
        ValueError: This flag does not take such a value.
    """
    if isinstance(option.type, click.types.BoolParamType):
        if not isinstance(entry, bool):
            raise ValueError(f"write true or false, not {entry!r}")
        return entry
    if option.name == "model_args" and isinstance(entry, dict):
        return [json.dumps(entry)]
    if isinstance(entry, dict):
        if not (option.multiple and "=" in (option.metavar or "")):
            raise ValueError("give one value, not a mapping")
        return [f"{name}={_as_text(option, place)}" for name, place in entry.items()]
    parts = [_as_text(option, part) for part in (entry if isinstance(entry, list) else [entry])]
    if option.multiple:
        return parts
    if isinstance(entry, list) and not takes_list(option):
        raise ValueError("give one value, not a list")
    return ",".join(parts)


def _as_text(option: click.Option, value: Any) -> str:
    is_switch = option.name == "use_cache"  # which may also stand alone
    if isinstance(value, str) or (isinstance(value, int | float) and (is_switch or not isinstance(value, bool))):
        return str(value)
    raise ValueError(f"give text or a number, not {'true or false' if isinstance(value, bool) else repr(value)}")
