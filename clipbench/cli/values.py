"""How the values of flags are read."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import click

from clipbench.errors import ConfigError
from clipbench.utils.numbers import check_limit
from clipbench.utils.registry import close_matches
from clipbench.utils.text import reason

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
