"""The parts of open_clip's own text towers, ``CLIP`` and ``TextTransformer``, which it calls on full contexts only."""

from __future__ import annotations

from typing import Any

import torch

from clipbench.models.last_block import ReadTokens, open_clip_states


def is_causal(tower: Any) -> bool:
    """Whether a text tower looks left only and is pooled at the end token, so that padding cannot matter.

    CoCa's is causal, but reads a class token after the padding.
    """
    return (
        getattr(tower, "attn_mask", None) is not None
        and pooling(tower)[0] in ("argmax", "eos")
        and getattr(tower, "cls_emb", None) is None
    )


def pooling(tower: Any) -> tuple[str | None, int | None]:
    """How a text tower is pooled, and its end token's id: ``CLIP`` and ``TextTransformer`` name them differently."""
    pool = getattr(tower, "text_pool_type", getattr(tower, "pool_type", None))
    return pool, getattr(tower, "text_eos_id", getattr(tower, "eos_id", None))


def heads(tower: Any) -> int:
    """How many heads a text tower's attention has."""
    # Not resblocks[0].attn: an adapter may be wrapped around it.
    blocks = tower.transformer.modules()
    return next(int(block.num_heads) for block in blocks if isinstance(getattr(block, "num_heads", None), int))


def encode_short(tower: Any, ids: torch.Tensor) -> torch.Tensor:
    """``encode_text`` for ids ``(B, L)`` shorter than the context, where open_clip's own adds all 77 positions."""
    from open_clip.transformer import text_global_pool

    length = ids.shape[1]
    pool, end_id = pooling(tower)
    x = states(tower, ids, slice(length), tower.attn_mask[:length, :length])  # (B, L, W)
    return project(tower, text_global_pool(x, ids, pool, eos_token_id=end_id))


def states(
    tower: Any,
    ids: torch.Tensor,
    positions: torch.Tensor | slice,
    mask: torch.Tensor,
    read: ReadTokens | None = None,
) -> torch.Tensor:
    """The last states of tokens ``(B, L)`` at given positions under an additive mask.

    Returns:
        ``(B, L, W)``; or ``(N, W)`` for the tokens that are read.
    """
    dtype = tower.transformer.get_cast_dtype()
    x = tower.token_embedding(ids).to(dtype) + tower.positional_embedding[positions].to(dtype)
    x = tower.transformer(x, attn_mask=mask) if read is None else open_clip_states(tower.transformer, x, mask, read)
    last_states: torch.Tensor = tower.ln_final(x)
    return last_states


def project(tower: Any, pooled: torch.Tensor) -> torch.Tensor:
    """From the tower's width to the shared space, ``(B, W)`` to ``(B, D)``."""
    projection = tower.text_projection
    if projection is None:
        return pooled
    projected: torch.Tensor = projection(pooled) if isinstance(projection, torch.nn.Module) else pooled @ projection
    return projected
