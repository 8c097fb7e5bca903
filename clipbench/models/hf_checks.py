"""Checks of a transformers checkpoint before and after its network is built."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from clipbench.errors import ModelError

_MOST_LAYERS = 1000  # if the weights cannot be inspected first; no model has that many
_SMALL = 10**8  # parameters that fit on any machine
_NO_COUNT = ("max_window_layers",)  # of Qwen: from which layer on attention is local
_LAYERS = ("layers", "depth", "depths", "repeats")


def check_size(source: str, config: Any) -> None:
    """Refuse a configuration that is out of proportion to its weights: building it would take minutes, or all memory.

    Raises:
        ModelError: It has more layers than there are weights, or far more parameters than the files contain.
    """
    count, numbers = _held(Path(source)) if Path(source).is_dir() else (None, None)
    for name, value in _integers(config.to_dict()):
        if name.endswith(_LAYERS) and name not in _NO_COUNT and value > (_MOST_LAYERS if count is None else count):
            reason = "no model has that many" if count is None else f"there are only {count:,} weights"
            raise ModelError(f"{source}: the configuration says {name} {value:,}, and {reason}")
    network = _network_class(config)
    if numbers is None or network is None:
        return
    with torch.device("meta"):
        wanted = sum(parameter.numel() for parameter in network(config).parameters())
    if wanted > 2 * max(numbers, _SMALL):  # other mismatches are reported by name when the weights are loaded
        raise ModelError(
            f"{source}: the configuration describes {wanted:,} parameters, and the weights are {numbers:,}: "
            "they do not fit the architecture"
        )


def check_vocabulary(source: str, tokenizer: Any, rows: int | None) -> None:
    """Refuse a tokenizer with tokens that the text encoder has no embedding for.

    Args:
        source: The checkpoint, for the message.
        tokenizer: A tokenizer of transformers.
        rows: How many embeddings there are; None where that is unknown.

    Raises:
        ModelError: It belongs to another model.
    """
    if rows is None:
        return
    # Special tokens that no text holds, such as T5's placeholders, may lie outside.
    used = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id)
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    never = (special | set(tokenizer.all_special_ids)) - set(used)
    numbers = tokenizer.get_vocab() if len(tokenizer) > rows else {}
    outside = {token: number for token, number in numbers.items() if number >= rows and number not in never}
    if outside:
        token = min(outside, key=lambda name: outside[name])
        raise ModelError(
            f"{source}: the tokenizer has {len(tokenizer):,} tokens and the text encoder an embedding for {rows:,} "
            f"(the first without one is {token!r:.40}): the tokenizer belongs to another model"
        )


def _network_class(config: Any) -> Any:
    from transformers import MODEL_MAPPING

    known: Any = MODEL_MAPPING
    found = known.get(type(config), None)
    return found[0] if isinstance(found, tuple) else found


def _integers(value: object, name: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _integers(inner, str(key))
    elif isinstance(value, list | tuple):
        yield name, sum(number for number in value if type(number) is int)
    elif type(value) is int:
        yield name, value


def _held(folder: Path) -> tuple[int | None, int | None]:
    """The number of weights in the files of a folder, and of their parameters; None where it is unknown."""
    tensors, numbers = 0, 0
    for file in folder.glob("*.safetensors"):
        try:
            with file.open("rb") as stream:
                (length,) = struct.unpack("<Q", stream.read(8))
                header = json.loads(stream.read(length) if length <= file.stat().st_size else b"{}")
            shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
        except (OSError, ValueError, KeyError, TypeError, struct.error, AttributeError):
            return None, None  # damaged: whatever loads it says so
        tensors += len(shapes)
        numbers += sum(math.prod(shape) for shape in shapes)
    if tensors:
        return tensors, numbers
    pickled = sum(file.stat().st_size for file in folder.glob("*.bin"))
    return None, pickled or None
