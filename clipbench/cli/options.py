"""Options that several subcommands share, and how their values are read."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from clipbench.cli.command import joined, takes_list
from clipbench.cli.completion import complete_data, complete_tasks
from clipbench.cli.console import FORMATS
from clipbench.cli.foreign_flags import explain_flag
from clipbench.errors import ConfigError
from clipbench.models.spec import TEXT_CLEANINGS
from clipbench.utils.numbers import check_limit
from clipbench.utils.registry import close_matches
from clipbench.utils.text import reason

F = TypeVar("F", bound=Callable[..., Any])

_LONGEST_NUMBER = 18
_DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "npu", "xla")
_DTYPES = ("auto", "float32", "fp32", "bfloat16", "bf16", "float16", "fp16")  # clipbench.models.checks imports torch
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


def parse_model_args(text: str, text_cleaning: str | None = None) -> dict[str, object]:
    """Read ``--model_args``: ``key=value,…`` or a JSON object; ``--text_cleaning`` becomes one of them.

    Examples:
        >>> parse_model_args("pretrained=openai/clip-vit-base-patch32,trust_remote_code=true")
        {'pretrained': 'openai/clip-vit-base-patch32', 'trust_remote_code': True}

    Raises:
        ConfigError: It is neither, or the two disagree.
    """
    if text.lstrip().startswith("{"):
        try:
            arguments: dict[str, object] = json.loads(text, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"--model_args {text}: not JSON: {reason(error)}") from None
    else:
        pairs = parse_pairs(tuple(part for part in text.split(",") if part), "--model_args")
        arguments = {name: _WORDS.get(value.lower(), value) for name, value in pairs.items()}
    if text_cleaning is not None and arguments.setdefault("text_cleaning", text_cleaning) != text_cleaning:
        raise ConfigError(f"--text_cleaning {text_cleaning}: --model_args says {arguments['text_cleaning']}")
    return arguments


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object without repeated keys."""
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise ValueError(f"the key {name!r} comes {count} times")
    return dict(pairs)


def parse_batch_size(text: str) -> int | str:
    """Read ``--batch_size``.

    Raises:
        ConfigError: It is neither ``auto`` nor a positive number.
    """
    if text == "auto":
        return text
    if not (text.isascii() and text.isdecimal()) or len(text) > _LONGEST_NUMBER or int(text) < 1:
        raise ConfigError(f"--batch_size {text}: give a positive number or auto")
    return int(text)


def check_device(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Callback: refuse an invalid device before torch, which takes seconds to import, does."""
    if value is None or re.fullmatch(rf"auto|({'|'.join(_DEVICES)})(:\d{{1,3}})?", value):
        return value
    raise ConfigError(
        f"--device {value}{close_matches(value, _DEVICES)}: give one of {', '.join(_DEVICES)}, or cuda:1, …"
    )


def check_dtype(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Callback: refuse an invalid precision, likewise."""
    if value is None or value.removeprefix("torch.") in _DTYPES:
        return value
    raise ConfigError(f"--dtype {value}{close_matches(value, _DTYPES)}: use float32, bfloat16 or float16")


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


class Limit(click.ParamType[int | float]):
    """A number of samples, or a share of them."""

    name = "number|share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """Read ``100`` or ``0.1``."""
        text = str(value)[: _LONGEST_NUMBER + 1]
        try:
            limit = int(text) if text.isdecimal() else float(text)
            check_limit("limit", limit)
        except (ValueError, ConfigError):
            expected = "neither a whole number of samples nor a share of them, such as 0.1"
            self.fail(f"{text!r} is {expected}", param, ctx)
        return limit


model_args_option = click.option(
    "--model_args",
    "-a",
    multiple=True,
    callback=joined,
    metavar="K=V,…|JSON",
    help="pretrained=…, revision=…, dtype=…; repeatable.",
)

text_cleaning_option = click.option(
    "--text_cleaning",
    type=click.Choice(TEXT_CLEANINGS),
    help="How captions are cleaned: as the model's text tower was trained (default), or as its library does it.",
)

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
                shell_complete=complete_tasks,
                help="Tasks, groups, tags, globs, YAML files or folders of them, separated by commas. Repeatable.",
            ),
            click.option(
                "--data", multiple=True, metavar="NAME=PLACE", shell_complete=complete_data,
                help="Where a data set is: a local copy, or hub:OWNER/NAME[@REVISION][:SPLIT]. Repeatable.",
            ),
            click.option(
                "--include_path", multiple=True, type=click.Path(path_type=Path), metavar="PATH",
                help="A .py or .yaml file, or a folder of them, with additional tasks. Repeatable.",
            ),
            click.option(
                "--limit", "-L", type=Limit(),
                help="Evaluate at most N samples per task, or a share of them, such as 0.1.",
            ),
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
        limit: int | float | None,
        streaming: bool,
        num_workers: int,
        batch_size: str,
        allow_missing: bool,
        text_template: str,
        lowercase: bool,
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
            text_template=text_template,
            lowercase=lowercase,
        )
        return command(options=options, **others)

    decorated: Any = with_options
    for option in (
        click.option(
            "--text_template",
            default="{}",
            metavar="TEXT",
            help="Template for every text before it is encoded: 'a photo of {}'.",
        ),
        click.option("--lowercase", is_flag=True, help="Lower-case every text before it is encoded."),
        click.option("--allow_missing", is_flag=True, help="Evaluate even if images or rows are missing."),
        click.option(
            "--batch_size", "-b", default="auto", show_default=True, help="N or auto; halved when memory runs out."
        ),
        task_options,
    ):
        decorated = option(decorated)
    return cast(F, decorated)
