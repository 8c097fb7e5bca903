"""Reading the weights of a TorchScript archive, as OpenAI published CLIP, without running anything in it.

``torch.load(weights_only=True)`` refuses such archives, and ``torch.jit.load`` would bring in their code. The weights
are in a zip with a pickle that maps them; it is read here with a handful of names allowed.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from clipbench.errors import ModelError
from clipbench.utils.text import reason

_STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}


def is_jit_archive(path: Path) -> bool:
    """Whether a file is a TorchScript archive (only these hold a ``constants.pkl``)."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_jit_archive(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a TorchScript archive by name, on the CPU.

    Raises:
        ModelError: The archive is damaged, or names something that no model of weights needs.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            [pickled] = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
            with archive.open(pickled) as file:
                root = _Unpickler(file, archive, pickled.removesuffix(".pkl")).load()
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ModelError(f"{path} is a damaged TorchScript archive: {reason(error)}") from None
    state: dict[str, torch.Tensor] = {}
    _collect(root, "", state)
    return state


class _Node:
    """A module of the archive: its attributes, and nothing else of its class."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.attributes = dict(state)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self._archive = archive
        self._folder = folder
        self._tensors: dict[str, torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return _Node
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        allowed = {
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
            ("collections", "OrderedDict"): OrderedDict,
            ("torch.jit._pickle", "build_intlist"): list,
            ("torch.jit._pickle", "build_boollist"): list,
            ("torch.jit._pickle", "build_doublelist"): list,
            ("torch.jit._pickle", "build_tensorlist"): list,
            ("torch.jit._pickle", "restore_type_tag"): _first,
        }
        if (module, name) not in allowed:
            raise ModelError(f"{self._archive.filename} wants to use {module}.{name}: refused, it may be harmful")
        return allowed[module, name]

    def persistent_load(self, reference: Any) -> torch.Tensor:
        _, dtype, key, _, count = reference
        if key not in self._tensors:
            data = bytearray(self._archive.read(f"{self._folder}/{key}"))
            flat = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
            if flat.numel() < count:
                raise ValueError(f"{self._folder}/{key} is cut short")
            self._tensors[key] = flat
        return self._tensors[key]


def _rebuild(storage: torch.Tensor, offset: int, size: Any, stride: Any, *_: Any) -> torch.Tensor:
    if math.prod(size) > storage.numel():  # repeats stored numbers, so that a copy could take any amount of memory
        raise ValueError("a tensor is larger than its stored data")
    return torch.as_strided(storage, tuple(size), tuple(stride), offset).clone()


def _first(value: Any, _tag: Any) -> Any:
    return value


def _collect(node: Any, prefix: str, state: dict[str, torch.Tensor]) -> None:
    for name, value in getattr(node, "attributes", {}).items():
        if isinstance(value, torch.Tensor):
            state[prefix + name] = value
        elif isinstance(value, _Node):
            _collect(value, f"{prefix}{name}.", state)
