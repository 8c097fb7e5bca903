"""One vector of an encoder's output: its own pooled output, one of its tokens, or a mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from clipbench.errors import ModelError

IMAGE_POOLINGS = ("pooler", "cls", "mean")
TEXT_POOLINGS = ("pooler", "cls", "mean", "last", "eos", "max", "mean_sqrt_len", "weighted_mean")

_CLASS_TOKENS = ("cls_token", "class_token", "class_embedding", "distillation_token", "dist_token")
_REGISTERS = ("register_tokens", "reg_token")


def pooled_output(output: Any) -> Tensor | None:
    """The encoder's own pooled output ``(B, D)``; None if it has none. ResNet's ``(B, D, 1, 1)`` is flattened."""
    pooled = getattr(output, "pooler_output", None)
    return pooled.flatten(1) if isinstance(pooled, Tensor) and pooled.ndim in (2, 4) else None


def pool_image(
    output: Any, pooling: str, *, prefix: int, channels: int | None = None, mask: Tensor | None = None
) -> Tensor:
    """Pool an image encoder's output.

    Args:
        output: With ``last_hidden_state``: tokens ``(B, N, D)``, or a feature map ``(B, D, H, W)`` or ``(B, H, W, D)``.
        pooling: ``pooler``, ``cls`` (the first token) or ``mean`` over the patches.
        prefix: Number of tokens before those of patches: class token, registers.
        channels: D, if it is known, to tell the two orders of feature maps apart.
        mask: Where images have different numbers of patches, 1 for each that there is, ``(B, N)``.

    Returns:
        ``(B, D)``.

    Raises:
        ModelError: The encoder has no pooled output or no class token.
    """
    if pooling == "pooler":
        pooled = pooled_output(output)
        if pooled is None:
            raise ModelError("it has no pooled output: set its pooling to mean or cls")
        return pooled
    states: Tensor = output.last_hidden_state
    if pooling == "cls":
        if states.ndim != 3 or not prefix:
            raise ModelError("it has no class token: set its pooling to mean or pooler")
        return states[:, 0]
    if mask is not None:
        return _weighted(states, mask)
    if states.ndim == 3:
        return states[:, prefix:].mean(1)
    last = states.shape[-1] == channels != states.shape[1]
    return states.mean((1, 2)) if last else states.mean((-2, -1))


def pool_text(states: Tensor, mask: Tensor, ids: Tensor, pooling: str, end: int | None = None) -> Tensor:
    """Pool a text encoder's tokens; padding, on whichever side, never counts.

    The formulas are those of sentence-transformers. Several poolings, joined by ``+``, are concatenated.

    Args:
        states: ``(B, L, D)``.
        mask: 1 where there is text, ``(B, L)``.
        ids: The tokens, ``(B, L)``.
        pooling: A name in ``TEXT_POOLINGS`` other than ``pooler``, or several joined by ``+``.
        end: The token that ends a text, for ``eos``: its last place counts.

    Returns:
        ``(B, D)`` for each pooling, side by side.
    """
    return torch.cat([_TEXT[name](states, mask, ids, end) for name in pooling.split("+")], dim=1)


def _first(states: Tensor, mask: Tensor, ids: Tensor, end: int | None) -> Tensor:
    return _at(states, mask.int().argmax(1))  # argmax gives the first of equals


def _last(states: Tensor, mask: Tensor, ids: Tensor, end: int | None) -> Tensor:
    return _at(states, _last_place(mask))


def _end(states: Tensor, mask: Tensor, ids: Tensor, end: int | None) -> Tensor:
    return _at(states, _last_place((ids == end) & mask.bool()))


def _mean(states: Tensor, mask: Tensor, ids: Tensor, end: int | None) -> Tensor:
    return _weighted(states, mask)


def _mean_sqrt_len(states: Tensor, mask: Tensor, ids: Tensor, end: int | None) -> Tensor:
    return _weighted(states, mask) * mask.sum(1, keepdim=True).clamp(min=1).to(states.dtype).sqrt()


def _weighted_mean(states: Tensor, mask: Tensor, ids: Tensor, end: int | None) -> Tensor:
    return _weighted(states, mask * mask.cumsum(1))  # a token's weight is its place, counted from 1


def _max(states: Tensor, mask: Tensor, ids: Tensor, end: int | None) -> Tensor:
    return states.masked_fill(mask[..., None] == 0, -torch.inf).amax(1)


_TEXT: dict[str, Callable[[Tensor, Tensor, Tensor, int | None], Tensor]] = {
    "cls": _first,
    "mean": _mean,
    "last": _last,
    "eos": _end,
    "max": _max,
    "mean_sqrt_len": _mean_sqrt_len,
    "weighted_mean": _weighted_mean,
}


def _weighted(states: Tensor, weights: Tensor) -> Tensor:
    weights = weights[..., None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def _last_place(there: Tensor) -> Tensor:
    return there.shape[1] - 1 - there.flip(1).int().argmax(1)


def _at(states: Tensor, places: Tensor) -> Tensor:
    return states[torch.arange(len(states), device=states.device), places]


def prefix_tokens(encoder: torch.nn.Module) -> int:
    """How many tokens an image encoder puts before those of patches: class tokens, registers."""
    timm: Any = getattr(encoder, "timm_model", None)
    if timm is not None:
        return int(getattr(timm, "num_prefix_tokens", 0))
    count = 0
    for name, parameter in encoder.named_parameters():
        kind = name.rpartition(".")[2]
        if "head." in name:
            continue  # a query of attention pooling
        if kind in _CLASS_TOKENS:
            count += 1
        elif kind in _REGISTERS:
            count += parameter.shape[-2]
    return count


def channels_of(encoder: torch.nn.Module) -> int | None:
    """The depth of a timm encoder's feature maps, some of which have the channels last; None for others."""
    timm: Any = getattr(encoder, "timm_model", None)
    return None if timm is None else int(timm.num_features)
