"""The last block of a tower, computed only where its states are read.

A feature is made of one state: an end token's, or the class token's. In the last block every token is a key and a
value, but queries, the attention's output and the MLP are needed only at tokens that are read. That saves up to 10 of
the 12 W² multiplications of a token in a block of width W: 6 % of a tower of twelve blocks. Exact up to rounding.

Where something else depends on whole modules being called (hooks, as FSDP has them; gradient checkpointing;
torch.compile), they are called whole, and the same states are picked. An adapter tries all this on a model when it is
loaded; any error means that the tower is built differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class ReadTokens:
    """The N tokens of a batch of B rows whose states are read.

    Attributes:
        rows: The row of each, ``(N,)``.
        positions: Its place in the row, ``(N,)``.
        queries: By row, the places that are read there, ``(B, Q)``; shorter rows are filled with any place.
        slots: For each token, where in its row's queries it is, ``(N,)``.
    """

    rows: Tensor
    positions: Tensor
    queries: Tensor
    slots: Tensor

    def of(self, states: Tensor) -> Tensor:
        """The states that are read, from ``(B, L, W)`` to ``(N, W)``."""
        return states[self.rows, self.positions]

    def queried(self, states: Tensor) -> Tensor:
        """The states of the queries, from ``(B, L, W)`` to ``(B, Q, W)``."""
        return states[self._every_row(), self.queries]

    def queried_mask(self, mask: Tensor) -> Tensor:
        """The queries' part of a mask, from ``(B, H, L, L)`` to ``(B, H, Q, L)``."""
        return mask[self._every_row(), :, self.queries].transpose(1, 2)

    def _every_row(self) -> Tensor:
        return torch.arange(len(self.queries), device=self.queries.device)[:, None]


def read_tokens(rows: Tensor, positions: Tensor, count: int, most: int) -> ReadTokens:
    """The tokens at some places.

    Args:
        rows: The row of each, ascending, ``(N,)``.
        positions: The places, ``(N,)``.
        count: How many rows there are, B.
        most: How many tokens are read in one row at most, Q.
    """
    slots = torch.arange(len(rows), device=rows.device) - torch.searchsorted(rows, rows)
    queries = torch.zeros(count, most, dtype=positions.dtype, device=positions.device)
    queries[rows, slots] = positions
    return ReadTokens(rows, positions, queries, slots)


def class_tokens(count: int, device: torch.device) -> ReadTokens:
    """The first token of each of ``count`` rows."""
    zeros = torch.zeros(count, dtype=torch.long, device=device)
    return ReadTokens(torch.arange(count, device=device), zeros, zeros[:, None], zeros)


def transformers_states(encoder: Any, states: Tensor, mask: Tensor | None, read: ReadTokens) -> Tensor:
    """States ``(N, W)`` after the last layer of a CLIP encoder of transformers.

    Args:
        encoder: The encoder.
        states: Embedded tokens, ``(B, L, W)``.
        mask: What is added to attention logits, ``(B, 1, L, L)``; None: all see all.
        read: The tokens whose states are read.
    """
    *layers, last = encoder.layers
    for layer in layers:
        states = layer(states, mask)
    if called_whole(last, last.self_attn):
        whole: Tensor = last(states, mask)
        return read.of(whole)
    attention = last.self_attn

    def by_head(features: Tensor) -> Tensor:  # (B, L, W) to (B, H, L, W / H)
        return features.view(*features.shape[:2], -1, attention.head_dim).transpose(1, 2)

    normed = last.layer_norm1(states)
    attended = functional.scaled_dot_product_attention(
        by_head(attention.q_proj(read.queried(normed))),
        by_head(attention.k_proj(normed)),
        by_head(attention.v_proj(normed)),
        attn_mask=None if mask is None else read.queried_mask(mask),
        dropout_p=attention.dropout if last.training else 0.0,
        scale=attention.scale,
    )  # (B, H, Q, W / H)
    found = read.of(states) + attention.out_proj(attended.transpose(1, 2)[read.rows, read.slots].flatten(1))
    found = found + last.mlp(last.layer_norm2(found))
    return cast(Tensor, found)


def open_clip_states(transformer: Any, states: Tensor, mask: Tensor | None, read: ReadTokens) -> Tensor:
    """As ``transformers_states``, for a transformer of open_clip; the mask is ``(B · H, L, L)``."""
    *blocks, last = transformer.resblocks
    if called_whole(transformer, last, last.attn) or not transformer.batch_first:
        return read.of(transformer(states, attn_mask=mask))
    for block in blocks:
        states = block(states, attn_mask=mask)
    if mask is not None:
        mask = read.queried_mask(mask.view(len(states), -1, *mask.shape[1:])).flatten(0, 1)
    normed = last.ln_1(states)
    attended = last.attention(read.queried(normed), normed, normed, attn_mask=mask)  # (B, Q, W)
    found = read.of(states) + last.ls_1(attended[read.rows, read.slots])
    found = found + last.ls_2(last.mlp(last.ln_2(found)))
    return cast(Tensor, found)


def called_whole(*modules: nn.Module) -> bool:
    """Whether something depends on one of some modules being called as a whole."""
    return any(
        module._forward_pre_hooks
        or module._forward_hooks
        or module._backward_pre_hooks
        or module._backward_hooks
        or "forward" in vars(module)  # accelerate's hooks, where a model is spread over devices
        or getattr(module, "_compiled_call_impl", None) is not None
        or getattr(module, "gradient_checkpointing", False)
        or getattr(module, "grad_checkpointing", False)
        for module in modules
    )
