"""Options that several subcommands share, and how their values are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from clipbench.cli.command import joined
from clipbench.cli.console import FORMATS
from clipbench.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

_WORDS: dict[str, object] = {"true": True, "false": False, "none": None, "null": None}


def parse_pairs(texts: tuple[str, ...], flag: str) -> dict[str, str]:
    """Read ``NAME=VALUE`` options.

    Raises:
        ConfigError: There is no ``=``, or a name comes twice.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise ConfigError(f"{flag} {text}: write NAME=VALUE")
        if name in pairs:
            raise ConfigError(f"{flag} {name} is given twice")
        pairs[name] = value
    return pairs


def parse_model_args(text: str) -> dict[str, object]:
    """Read ``--model_args``: ``key=value,…`` or a JSON object.

    Examples:
        >>> parse_model_args("pretrained=openai/clip-vit-base-patch32,trust_remote_code=true")
        {'pretrained': 'openai/clip-vit-base-patch32', 'trust_remote_code': True}

    Raises:
        ConfigError: It is neither.
    """
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(f"--model_args {text}: not JSON: {error}") from None
        return dict(found)
    pairs = parse_pairs(tuple(part for part in text.split(",") if part), "--model_args")
    return {name: _WORDS.get(value.lower(), value) for name, value in pairs.items()}


def parse_batch_size(text: str) -> int | str:
    """Read ``--batch_size``.

    Raises:
        ConfigError: It is neither ``auto`` nor a positive number.
    """
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"--batch_size {text}: give a positive number or auto")
    return int(text)


def parse_cache_folder(value: str | None) -> str | None:
    """Read ``--use_cache [DIR]``: without a folder it is the default one; in YAML also ``true``.

    Examples:
        >>> parse_cache_folder("here"), parse_cache_folder(None)
        ('here', None)
    """
    if value is None or value.lower() == "false":
        return None
    from clipbench.inference.embedding_cache.cache import default_folder

    return str(default_folder()) if value in ("", "true", "True") else value


def _read_config(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    """Let a YAML file set defaults: flags take precedence over the file, the file over the built-in default."""
    if value is None:
        return
    from clipbench.utils.registry import close_matches
    from clipbench.utils.yaml import read_yaml

    data = read_yaml(value)
    if not isinstance(data, dict):
        raise ConfigError(f"{value}:1: expected a mapping of flags to values")
    # A flag's name is not always its parameter's: `--format` fills `style`.
    known = {flag.lstrip("-"): option.name for option in ctx.command.params for flag in option.opts}
    defaults: dict[str, Any] = {}
    for key, entry in data.items():
        name = known.get(str(key).replace("-", "_"))
        if name is None:
            raise ConfigError(f"{value}: unknown flag {key!r}{close_matches(str(key), known)}")
        option = next(option for option in ctx.command.params if option.name == name)
        entry = _as_flag(str(key), entry)
        if option.multiple and not isinstance(entry, list):
            entry = [entry]
        try:
            for part in entry if option.multiple else [entry]:
                option.type.convert(part, option, ctx)
        except click.BadParameter as error:
            raise ConfigError(f"{value}: {key}: {error.message}") from None
        defaults[name] = entry
    ctx.default_map = {**(ctx.default_map or {}), **defaults}


def _as_flag(key: str, entry: Any) -> Any:
    """People write lists and mappings in YAML; flags take text."""
    if key in ("data", "eval_data") and isinstance(entry, dict):
        return [f"{name}={place}" for name, place in entry.items()]
    if key == "model_args" and isinstance(entry, dict):
        return json.dumps(entry)
    if isinstance(entry, list) and key != "data" and not key.endswith(("_data", "_path")):
        return ",".join(map(str, entry))
    return entry


config_option = click.option(
    "--config",
    "-C",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_read_config,
    is_eager=True,
    expose_value=False,
    help="A YAML file of flags; command-line flags take precedence.",
)


def task_options(command: F) -> F:
    """``--tasks``, ``--data``, ``--include_path``, ``--limit``, ``--streaming``, ``--format``, ``--config``."""
    for option in reversed(
        (
            click.option(
                "--tasks", "-t", required=True, metavar="NAMES", multiple=True, callback=joined,
                help="Tasks, groups, tags, globs, YAML files or folders of them, separated by commas. Repeatable.",
            ),
            click.option(
                "--data", multiple=True, metavar="NAME=PLACE",
                help="Where a data set is: a local copy, or hub:OWNER/NAME[@REVISION][:SPLIT]. Repeatable.",
            ),
            click.option(
                "--include_path", multiple=True, type=click.Path(path_type=Path), metavar="PATH",
                help="A .py or .yaml file, or a folder of them, with additional tasks. Repeatable.",
            ),
            click.option("--limit", "-L", type=click.IntRange(min=1), help="Evaluate at most N samples per task."),
            click.option("--streaming", is_flag=True, help="Stream hub data sets instead of downloading them."),
            click.option(
                "--num_workers", type=click.IntRange(min=1), default=2, show_default=True,
                help="Threads that decode images.",
            ),
            click.option("--format", "style", type=click.Choice(FORMATS), default="table", show_default=True),
            config_option,
        )
    ):  # fmt: skip
        command = option(command)
    return command


def evaluation_options(command: F) -> F:
    """``task_options``, ``--batch_size`` and ``--allow_missing``, handed over as ``options``: EvaluationOptions."""

    @wraps(command)
    def with_options(
        *,
        data: tuple[str, ...],
        include_path: tuple[Path, ...],
        limit: int | None,
        streaming: bool,
        num_workers: int,
        batch_size: str,
        allow_missing: bool,
        **others: Any,
    ) -> Any:
        from clipbench.evaluation.options import EvaluationOptions

        options = EvaluationOptions(
            data=parse_pairs(data, "--data"),
            batch_size=parse_batch_size(batch_size),
            limit=limit,
            allow_missing=allow_missing,
            streaming=streaming,
            workers=num_workers,
            include_path=include_path,
        )
        return command(options=options, **others)

    decorated: Any = with_options
    for option in (
        click.option("--allow_missing", is_flag=True, help="Evaluate even if images or rows are missing."),
        click.option(
            "--batch_size", "-b", default="auto", show_default=True, help="N or auto; halved when memory runs out."
        ),
        task_options,
    ):
        decorated = option(decorated)
    return cast(F, decorated)
