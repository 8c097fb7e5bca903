"""Weights by name, from whatever a training script saved, without running code in it."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from clipbench.errors import ModelError
from clipbench.models.lora_weights import merge_lora

# What wrappers of modules put before every name, or, if they wrap only a part, into the middle of some names.
_PREFIXES = ("module.", "model.", "clip.", "clip_model.", "net.", "network.", "base_model.")
_INSERTED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# Settings and counters are saved with weights: classes of these modules are replaced by an inert one.
_SETTINGS = (
    "argparse", "types", "pathlib", "enum", "typing", "omegaconf", "easydict", "yacs", "ml_collections",
    "pytorch_lightning", "lightning", "lightning_fabric", "numpy", "_codecs",
)  # fmt: skip
_LARGE = 10**7
_DICTIONARIES = ("AttributeDict", "CfgNode", "ConfigDict", "EasyDict")


def read_state_dict(path: Path, *, key: str | None = None, lora_alpha: float | None = None) -> dict[str, torch.Tensor]:
    """Read the weights of a file by name, without what wrappers added to the names, low-rank updates merged.

    Args:
        path: A safetensors file, or one that ``torch.save`` wrote.
        key: Their key in the file, such as ``ema``, if there are several sets.
        lora_alpha: The scale of low-rank updates, if the file does not contain it.

    Raises:
        ModelError: It holds no weights, or several sets of them, or low-rank updates that cannot be merged.
        pickle.UnpicklingError: It holds code.
    """
    loaded = _load(path)
    weights = _choose(_weights(loaded), key, path)
    for name, tensor in weights.items():
        # A tensor can be stored as one repeated number; building a network of its size would take all memory.
        if tensor.numel() > _LARGE and tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ModelError(f"{path}: {name:.80} has {tensor.numel():,} numbers, and the file does not hold as many")
    alpha = _setting(loaded, "lora_alpha") if lora_alpha is None else lora_alpha
    return merge_lora(strip_prefixes(weights), alpha, path)


def check_file(path: Path) -> None:
    """Refuse files whose first bytes are not those of weights, and archives that unpack to far more than their size.

    Raises:
        ModelError: It is one of these.
    """
    with path.open("rb") as stream:
        start = stream.read(100).lstrip().lower()
    if not start:
        raise ModelError(f"{path} is empty: download or save it again")
    if start.startswith(b"version https://git-lfs"):
        raise ModelError(f"{path} is the pointer to a file in Git LFS, not the file: run git lfs pull")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ModelError(f"{path} is a web page, not weights: download the file itself")
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > 2 * path.stat().st_size:
        raise ModelError(f"{path} is compressed, and holds {unpacked:,} bytes: save the weights with torch.save")


def strip_prefixes(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Remove what torch.compile, DataParallel, Lightning and similar wrappers put before or into names.

    A prefix is removed only if all names have it.

    Examples:
        >>> list(strip_prefixes({"module._orig_mod.visual.proj": 1, "module.logit_scale": 2}))
        ['visual.proj', 'logit_scale']
        >>> list(strip_prefixes({"modules.a": 1, "logit_scale": 2}))
        ['modules.a', 'logit_scale']
    """
    parts = {name: [part for part in name.split(".") if part not in _INSERTED] for name in weights}
    stripped = {".".join(parts[name]): tensor for name, tensor in weights.items()}
    while True:
        prefix = next((start for start in _PREFIXES if all(name.startswith(start) for name in stripped)), None)
        if prefix is None or not stripped:
            return stripped
        stripped = {name.removeprefix(prefix): tensor for name, tensor in stripped.items()}


class _Inert:
    """A stand-in for classes of settings: it keeps the attributes and runs no code."""

    def __init__(self, *_: object) -> None:
        pass

    def __new__(cls, *_: object) -> _Inert:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        if isinstance(state, Mapping):
            self.__dict__.update({str(name): value for name, value in state.items()})


def _load(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path, device="cpu")
    try:
        asked = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (ValueError, RuntimeError, EOFError):  # an older format, whose classes cannot be listed: allow the commonest
        asked = ["argparse.Namespace"]
    inert = [
        (OrderedDict if name.split(".")[-1] in _DICTIONARIES else _Inert, name)
        for name in asked
        if name.split(".")[0] in _SETTINGS
    ]
    with torch.serialization.safe_globals(inert):  # type: ignore[arg-type]  # of classes that stand for others
        return torch.load(path, map_location="cpu", weights_only=True)


def _weights(loaded: object, depth: int = 3) -> dict[str, dict[str, torch.Tensor]]:
    """The sets of weights in a loaded file, by key."""
    if not isinstance(loaded, Mapping) or depth == 0:
        return {}
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in loaded.items():
        for inner, weights in _weights(value, depth - 1).items():
            found[f"{name}.{inner}" if inner else str(name)] = weights
    own = {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    return found | ({"": own} if own else {})


def _choose(found: Mapping[str, dict[str, torch.Tensor]], key: str | None, path: Path) -> dict[str, torch.Tensor]:
    if key is not None:
        if key not in found:
            raise ModelError(f"{path} holds no weights under {key!r}: it has {', '.join(filter(None, found))}")
        return found[key]
    largest = max(map(len, found.values()), default=0)
    if not largest:
        raise ModelError(f"{path} holds no weights by name (a state_dict)")
    # Optimizers have lists and numbered states, and a loss is a single tensor: the model has the most names.
    likely = [where for where, weights in found.items() if len(weights) >= 0.9 * largest]
    if len(likely) > 1:
        ways = " or ".join(f"weights_key={where}" for where in likely)
        raise ModelError(f"{path} holds several sets of weights: pass model_args {ways}")
    return found[likely[0]]


def _setting(loaded: object, name: str) -> float | None:
    """The number called ``name`` among the settings that were saved with the weights; None if there is none."""
    found = {value for value in _settings(loaded, name) if isinstance(value, int | float)}
    return float(found.pop()) if len(found) == 1 else None


def _settings(value: object, name: str, depth: int = 4) -> Iterator[object]:
    inner = {**(value if isinstance(value, Mapping) else {}), **getattr(value, "__dict__", {})}
    for key, held in inner.items():
        if key == name:
            yield held
        elif depth:
            yield from _settings(held, name, depth - 1)
