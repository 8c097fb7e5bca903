"""Texts that begin alike share the states of their common tokens: many texts in one sequence, as a tree.

In a causal text tower a token's state depends on the tokens before it only, so texts with a common beginning need it
computed once. Sorted token sequences are cut into rows; each row is the prefix tree of its texts in depth-first
order, every token seeing its ancestors and itself, at the position it has in its text. A text's feature is read at
its end token. Exact up to rounding. It serves the variants of a caption best (their common part goes up to the
keyword), but any texts: captions of a data set share beginnings too, and rows are full, so that next to nothing is
padding.

This is the algorithm. ``Model.packed_text`` is its contract (``base.py``), each adapter runs packed rows through its
encoder, ``network.py`` decides which way of batching is exact for a model, and ``inference/texts.py`` uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from clipbench.models import checks, probes
from clipbench.models.base import Model, PackedRow, PackedText, Tokens
from clipbench.models.last_block import ReadTokens, read_tokens

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Rows as a text tower's input, B rows of W tokens, on its device.

    Attributes:
        input_ids: ``(B, W)``.
        position_ids: ``(B, W)``.
        mask: What is added to attention logits, 0 or -inf: ``(B, 1, W, W)``, queries before keys.
        rows: The row of each text, ``(N,)``.
        ends: Where in its row each text ends, ``(N,)``.
        most: How many texts end in a row at most.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    mask: torch.Tensor
    rows: torch.Tensor
    ends: torch.Tensor
    most: int

    @property
    def end_tokens(self) -> ReadTokens:
        """The texts' end tokens, in the order of the rows' texts."""
        return read_tokens(self.rows, self.ends, len(self.input_ids), self.most)


def pack(ids: Ints, ends: Ints, width: int) -> list[PackedRow]:
    """Cut texts into rows of prefix trees.

    Sorting puts next to each other what begins alike, and each text adds to its row what it does not share with the
    text before. Rows come longest first, so that a batch of neighbours is hardly padded, and the first batch shows
    whether memory suffices.

    Args:
        ids: Token ids, ``(N, L)``; what follows a text's end does not matter.
        ends: The index of each text's end token, ``(N,)``.
        width: Tokens a row at most; no text may be longer.

    Returns:
        The rows; every text is in one of them.
    """
    columns = np.arange(ids.shape[1])
    ids = np.where(columns <= ends[:, None], ids, -1)  # a text sorts before those that it is the beginning of
    order = np.lexsort(ids.T[::-1])
    ids, lengths = ids[order], ends[order] + 1
    differs = (ids[1:] != ids[:-1]) | (columns >= lengths[1:, None])
    shared = np.zeros(len(ids), dtype=np.int64)  # with the text before
    shared[1:] = np.where(differs.any(axis=1), differs.argmax(axis=1), ids.shape[1])
    starts = _row_starts(lengths, shared, width)
    shared[starts] = 0
    return sorted(_rows(ids, lengths, shared, order, starts), key=lambda row: -len(row.ids))


def _row_starts(lengths: Ints, shared: Ints, width: int) -> list[int]:
    """Which of the sorted texts begin a row, because the row before is full."""
    starts: list[int] = []
    used = width  # so that the first one does
    for index, (length, common) in enumerate(zip(lengths.tolist(), shared.tolist(), strict=True)):
        used += length - common
        if used > width:
            starts.append(index)
            used = length
    return starts


def _rows(ids: Ints, lengths: Ints, shared: Ints, order: Ints, starts: Sequence[int]) -> Iterator[PackedRow]:
    """The prefix trees of sorted texts, all at once; ``shared`` counts the tokens in common with the text before."""
    columns = np.arange(ids.shape[1])
    new = (columns >= shared[:, None]) & (columns < lengths[:, None])  # (N, L), in depth-first order
    text_ends = np.cumsum(lengths - shared)  # a repeated text adds nothing, and ends where the one before does
    texts, positions = np.nonzero(new)
    tokens = ids[new]
    # A token's subtree ends where a later text begins to differ at its depth or above: the first text of the next row
    # does at any.
    differing = np.full(ids.shape, len(tokens))
    differing[:-1] = np.where(shared[1:, None] <= columns, text_ends[:-1, None], len(tokens))
    subtree_ends = np.minimum.accumulate(differing[::-1], axis=0)[::-1][texts, positions]
    for first, last in pairwise([*starts, len(ids)]):
        begin, end = int(text_ends[first] - lengths[first]), int(text_ends[last - 1])
        row_ends = text_ends[first:last] - begin - 1
        yield PackedRow(
            tokens[begin:end],
            positions[begin:end],
            subtree_ends[begin:end] - begin,
            tuple(order[first:last].tolist()),
            tuple(row_ends.tolist()),
        )


def texts_of(rows: Sequence[PackedRow]) -> list[int]:
    """Indices of the texts in the order in which the rows' features come."""
    return [text for row in rows for text in row.texts]


def collate(rows: Sequence[PackedRow], device: torch.device, dtype: torch.dtype) -> PackedBatch:
    """Put rows into one batch, padded to the longest.

    Args:
        rows: Rows of ``pack``.
        device: Where the text tower is.
        dtype: What it computes in: the precision of the mask.
    """
    width = max(len(row.ids) for row in rows)
    inputs = np.zeros((3, len(rows), width), dtype=np.int64)
    inputs[2] = np.arange(1, width + 1)  # padding sees itself: a token that sees nothing would be NaN
    for number, row in enumerate(rows):
        inputs[:, number, : len(row.ids)] = row.ids, row.positions, row.subtree_ends
    ids, positions, subtree_ends = torch.from_numpy(inputs).to(device, non_blocking=True)
    token = torch.arange(width, device=device)
    sees = (token[None, :] <= token[:, None]) & (token[:, None] < subtree_ends[:, None, :])  # (B, W, W)
    mask = torch.zeros(sees.shape, dtype=dtype, device=device).masked_fill_(~sees, float("-inf"))
    row_of = torch.tensor([number for number, row in enumerate(rows) for _ in row.ends], device=device)
    ends = torch.tensor([end for row in rows for end in row.ends], device=device)
    return PackedBatch(ids, positions, mask[:, None], row_of, ends, max(len(row.ends) for row in rows))


def end_tokens(tokens: Tokens, end_id: int | None) -> Ints:
    """Where CLIP's text towers pool: at the first token of the end's id, or of the largest id.

    Args:
        tokens: N tokenized texts.
        end_id: The end token's id; None for towers that take the largest.

    Returns:
        An index for each text, ``(N,)``; 0 where there is no end token, as the towers have it.
    """
    ids = tokens.inputs["input_ids"].numpy()
    found: Ints = (ids if end_id is None else ids == end_id).argmax(axis=1)
    return found


@torch.no_grad()
def packs_exactly(
    model: Model,
    packed_text: PackedText,
    differ: Callable[[torch.Tensor, torch.Tensor], float] = checks.largest_difference,
) -> bool:
    """Whether a model's packed features are its plain ones, tried on some texts.

    False too where the tower refuses custom masks or positions.
    """
    tokens = model.tokenize(probes.PREFIX_TEXTS)
    plain = model.text_features(tokens)
    try:
        rows = packed_text.pack(tokens)
        packed = packed_text.features(rows)
    except checks.UNLIKE_ITS_KIND:
        return False
    return differ(plain[texts_of(rows)], packed) <= checks.trimming_tolerance(model.dtype)
