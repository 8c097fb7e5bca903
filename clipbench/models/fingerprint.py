"""One digest over everything that features depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import torch


class Fingerprint:
    """The digest of a model, computed when first asked for, and again only after weights were changed.

    Args:
        module: The network; its ``state_dict`` is digested: names, dtypes, shapes and bytes.
        settings: Gives all else that features depend on (architecture, activation, preprocessing, tokenizer).
    """

    def __init__(self, module: torch.nn.Module, settings: Callable[[], Mapping[str, object]]) -> None:
        self._module = module
        self._settings = settings
        self._digest: str | None = None
        self._versions: tuple[int, ...] = ()

    def hex(self) -> str:
        """Return the digest, 64 hex digits."""
        state = self._module.state_dict(keep_vars=True)
        # In-place changes count up a tensor's version: training must not go on under an old fingerprint.
        versions = tuple(tensor._version for tensor in state.values())
        if self._digest is None or versions != self._versions:
            self._digest = _digest(state, self._settings())
            self._versions = versions
        return self._digest


def _digest(state: Mapping[str, torch.Tensor], settings: Mapping[str, object]) -> str:
    sha = hashlib.sha256()
    sha.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for name in sorted(state):
        tensor = state[name].detach().to("cpu").contiguous()
        sha.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def tokenizer_settings(tokenizer: Any) -> dict[str, object]:
    """What a transformers tokenizer's output depends on, hashed."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        state = json.loads(backend.to_str())
        # Left behind by the last call's padding and truncation; no property of the tokenizer.
        state.pop("padding", None)
        state.pop("truncation", None)
    else:
        state = {"vocab": tokenizer.get_vocab(), "special": tokenizer.special_tokens_map}
    text = json.dumps(state, sort_keys=True, default=str)
    return {
        "class": type(tokenizer).__name__,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "padding_side": tokenizer.padding_side,
        "pad": tokenizer.pad_token_id,
    }
