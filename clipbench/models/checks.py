"""Checks of every checkpoint when it is loaded, and what they need."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch

from clipbench.errors import ConfigError, ModelError
from clipbench.utils.registry import close_matches

DTYPES = {
    "auto": torch.float32,  # on a CPU without bf16 units half precision is several times slower, and never as exact
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}

UNLIKE_ITS_KIND = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""Whatever a network answers with that is built otherwise than others of its kind, when a fast path is tried on it."""


def resolve_dtype(name: str | None) -> torch.dtype:
    """Return the precision called ``name``; float32 by default, on every device.

    Raises:
        ConfigError: There is no such precision.
    """
    if name is None:
        return torch.float32
    key = name.removeprefix("torch.")
    if key not in DTYPES:
        raise ConfigError(f"unknown dtype {name!r}{close_matches(key, DTYPES)}: use float32, bfloat16 or float16")
    return DTYPES[key]


def dtype_name(dtype: torch.dtype) -> str:
    """``torch.float32`` as ``float32``."""
    return str(dtype).removeprefix("torch.")


def resolve_device(name: str | None) -> torch.device:
    """Return the device called ``name``, or the best one here.

    Raises:
        ConfigError: There is no such device here.
    """
    if name is None or name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA raises AssertionError
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "torch cannot use it"
        raise ConfigError(f"device {name!r} cannot be used here ({reason}): use device cpu") from None
    return device


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the libraries' messages and bars while a checkpoint loads; everything is checked here instead.

    Download bars stay: they belong to the hub client, which shows them on terminals only.
    """
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils import logging as transformers_logging

    level, bars = logging.root.manager.disable, transformers_logging.is_progress_bar_enabled()
    hub_bars = not are_progress_bars_disabled()
    conversion = os.environ.get("DISABLE_SAFETENSORS_CONVERSION")
    # transformers asks a bot on the hub to convert .bin checkpoints that it loads: it is not asked to here.
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    logging.disable(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if hub_bars:
        enable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        if conversion is None:
            os.environ.pop("DISABLE_SAFETENSORS_CONVERSION", None)
        else:
            os.environ["DISABLE_SAFETENSORS_CONVERSION"] = conversion


def check_keys(source: str, *, missing: Iterable[str], unexpected: Iterable[str], shapes: Sequence[str] = ()) -> None:
    """Refuse a checkpoint that does not fit its architecture: what is missing would be random numbers.

    Args:
        source: The checkpoint, for the message.
        missing: Names of weights that the architecture has and the checkpoint lacks.
        unexpected: Names of weights that the checkpoint has and the architecture lacks.
        shapes: Descriptions of weights with other shapes.

    Raises:
        ModelError: Any of these is not empty; the message gives counts and some names.
    """
    parts = [
        _some(sorted(missing), "missing"),
        _some(sorted(unexpected), "unexpected"),
        _some(list(shapes), "of the wrong shape"),
    ]
    found = "; ".join(part for part in parts if part)
    if len(found) > 250:
        found = f"{found[:250]} …"
    if found:
        raise ModelError(f"{source}: the weights do not fit the architecture: {found}")


def _some(names: list[str], what: str, limit: int = 3) -> str:
    if not names:
        return ""
    more = ", …" if len(names) > limit else ""
    return f"{len(names)} {what} ({', '.join(f'{name:.80}' for name in names[:limit])}{more})"


def check_finite(source: str, state: Mapping[str, torch.Tensor]) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        ModelError: Names the first such parameter.
    """
    for name, tensor in state.items():
        if not tensor.is_floating_point() or bool(torch.isfinite(tensor.sum(dtype=torch.float32))):
            continue  # one pass over the weights; a sum that overflows is looked at again
        count = int((~torch.isfinite(tensor)).sum())
        if count:
            raise ModelError(
                f"{source}: {name} is NaN or infinite in {count} of {tensor.numel()} places: the checkpoint is damaged"
            )


def largest_difference(left: torch.Tensor, right: torch.Tensor) -> float:
    """Largest absolute difference between normalized features, both ``(B, D)``."""
    a = torch.nn.functional.normalize(left.float(), dim=-1)
    b = torch.nn.functional.normalize(right.float(), dim=-1)
    return float((a - b).abs().max())


def trimming_tolerance(dtype: torch.dtype) -> float:
    """The largest difference between trimmed and padded features: 1e-5 in float32, a few roundings in half."""
    return max(1e-5, 4 * float(torch.finfo(dtype).eps))
