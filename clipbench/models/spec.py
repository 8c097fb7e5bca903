"""What a model's name says about how to load it: no network, no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from clipbench.errors import ConfigError, ModelError, UnknownName
from clipbench.utils.registry import close_matches

WEIGHT_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")
OPEN_CLIP_CONFIG = "open_clip_config.json"
TRANSFORMERS_CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
PAIRED_ENCODERS = "clipbench-paired-encoders"
"""The ``model_type`` of two paired encoders that clipbench saved."""
TRAINED, NATIVE = TEXT_CLEANINGS = ("trained", "native")
"""Values of ``text_cleaning``: as in the text tower's training, or left to the library that loads it."""
KINDS = (
    "the name or path of a model, a clipbench Model, a (transformers model, processor) pair, an (open_clip model, "
    "preprocess, tokenizer) triple, or an object with encode_image(list of PIL images) and encode_text(list of str)"
)
"""What a model may be, for messages."""

N = TypeVar("N", int, float)
_CONFIGS = (OPEN_CLIP_CONFIG, TRANSFORMERS_CONFIG, ADAPTER_CONFIG)
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no", "none", ""}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model to load.

    Attributes:
        id: The model in one string, for result files.
        source: What follows the adapter's prefix: hub id, path, or architecture. May be empty where ``args`` say it.
        args: The ``model_args`` that are left for the adapter.
        device: A torch device, or None to choose.
        dtype: A precision by name, or None for float32.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Whether code from the checkpoint may run.
    """

    id: str
    source: str
    args: Mapping[str, object] = field(default_factory=dict)
    device: str | None = None
    dtype: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False

    def text(self, name: str) -> str | None:
        """The argument ``name`` as a string, or None where it was not given."""
        value = self.args.get(name)
        return None if value is None else str(value)

    def only(self, *known: str) -> None:
        """Refuse arguments that the adapter would silently ignore.

        Raises:
            ConfigError: An argument is not among ``known``.
        """
        for name in self.args:
            if name not in known:
                takes = ", ".join(sorted({*known, "device", "dtype", "revision", "trust_remote_code"}))
                raise ConfigError(
                    f"{self.id}: unknown model argument {name!r}{close_matches(name, known)}; it takes {takes}"
                )


def as_bool(value: object, name: str) -> bool:
    """Read a yes or no of ``model_args``.

    Raises:
        ConfigError: It is neither.

    Examples:
        >>> as_bool("True", "trust_remote_code"), as_bool(0, "trust_remote_code")
        (True, False)
    """
    lowered = str(value).strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ConfigError(f"{name}={value!r} is neither true nor false")


def as_positive(value: object, name: str, kind: type[N]) -> N | None:
    """Read a nonnegative number from ``model_args``; None stays None.

    Raises:
        ConfigError: It is not a number, or is negative or infinite.

    Examples:
        >>> as_positive("320", "image_size", int), as_positive(None, "image_size", int)
        (320, None)
    """
    if value is None:
        return None
    try:
        number = kind(str(value))
        if not 0 <= number < float("inf"):
            raise ValueError
    except ValueError:
        raise ConfigError(f"{name}={value!r}: give a number of 0 or more") from None
    return number


def split_prefix(spec: str, adapters: list[str]) -> tuple[str | None, str]:
    """Split ``open_clip:ViT-B-32`` into adapter and source; a bare ``open_clip`` has an empty source.

    Raises:
        UnknownName: There is a prefix, and it names no adapter.

    Examples:
        >>> split_prefix("open_clip:hf-hub:org/name", ["hf", "open_clip"])
        ('open_clip', 'hf-hub:org/name')

    Examples:
            >>> split_prefix("openai/clip-vit-base-patch32", ["hf", "open_clip"])
            (None, 'openai/clip-vit-base-patch32')
    """
    if spec in adapters and not is_checkpoint(Path(spec)):  # such as the folder of its results
        return spec, ""
    prefix, colon, source = spec.partition(":")
    if not colon:
        return None, spec
    if prefix in adapters:
        return prefix, source
    if prefix in ("hf-hub", "local-dir"):  # as open_clip itself writes them
        return "open_clip", spec
    if "/" in prefix or Path(spec).exists() or len(prefix) == 1:  # a path that happens to hold a colon
        return None, spec
    raise UnknownName(
        f"unknown model library {prefix!r} in {spec!r}{close_matches(prefix, adapters)}; "
        "`clipbench ls models` lists all"
    )


def is_checkpoint(path: Path) -> bool:
    """Whether ``local_adapter`` accepts a path: a file, or a directory with a configuration."""
    return path.is_file() or any((path / name).is_file() for name in _CONFIGS)


def is_results_folder(path: Path) -> bool:
    """Whether a directory holds results of evaluations, and no checkpoint."""
    written = (file for pattern in ("results_*.json", ".unfinished_*") for file in path.glob(pattern))
    return not is_checkpoint(path) and any(written)


def local_adapter(path: Path) -> str:
    """Which adapter reads a file or directory that exists.

    Raises:
        ModelError: It is no checkpoint.
    """
    if path.is_file():
        if path.suffix not in WEIGHT_SUFFIXES:
            raise ModelError(f"{path} is not a checkpoint: pass a directory, or a {' or '.join(WEIGHT_SUFFIXES)} file")
        if (path.parent / TRANSFORMERS_CONFIG).is_file():
            raise ModelError(f"{path} belongs to a transformers checkpoint: pass its directory, {path.parent}")
        if (path.parent / ADAPTER_CONFIG).is_file():
            raise ModelError(f"{path} belongs to a PEFT adapter: pass its directory, {path.parent}")
        return "open_clip"
    if (path / OPEN_CLIP_CONFIG).is_file():
        return "open_clip"
    if (path / TRANSFORMERS_CONFIG).is_file() or (path / ADAPTER_CONFIG).is_file():
        return "hf"
    raise ModelError(
        f"{path} holds no checkpoint: there is neither {TRANSFORMERS_CONFIG} (transformers) nor "
        f"{OPEN_CLIP_CONFIG} (open_clip) in it{_checkpoints_below(path)}"
    )


def _checkpoints_below(path: Path) -> str:
    found = sorted({str(config.parent) for name in _CONFIGS for config in path.glob(f"*/{name}")})
    weights = sorted(str(file) for file in path.glob("*") if file.suffix in WEIGHT_SUFFIXES)
    near = (found + weights)[:3]
    return f"; pass {' or '.join(near)}" if near else ""


def looks_like_path(source: str) -> bool:
    """Whether a source that does not exist was meant as a path and not as a hub id."""
    return (
        source.startswith((".", "/", "~"))
        or source.endswith(WEIGHT_SUFFIXES)
        or source.count("/") > 1
        or not _HUB_ID.fullmatch(source)
    )
