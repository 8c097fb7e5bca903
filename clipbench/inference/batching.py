"""Batches that shrink when the device's memory does not hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from clipbench.errors import ModelError

T = TypeVar("T")


class BatchSize:
    """How much goes through an encoder at once; halves on out-of-memory, and stays halved.

    Args:
        size: Items a batch, or ``auto``.
        automatic: What ``auto`` starts with.
    """

    def __init__(self, size: int | str, automatic: int) -> None:
        self.size = automatic if size == "auto" else int(size)

    def split(
        self,
        items: Sequence[T],
        encode: Callable[[Sequence[T]], torch.Tensor],
        weight: Callable[[T], int] = lambda item: 1,
    ) -> Iterator[torch.Tensor]:
        """Encode items batch by batch, in order.

        Args:
            items: The items, the heaviest first.
            encode: Encodes some of them.
            weight: What an item counts. Within a batch all count what the first one does, to which they are padded.

        Yields:
            What ``encode`` returned for each batch.

        Raises:
            ModelError: A single item does not fit into memory.
        """
        start = 0
        while start < len(items):
            count = max(1, self.size // weight(items[start]))
            try:
                features = encode(items[start : start + count])
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                # Outside the handler the traceback, and with it the batch's tensors, is gone.
                features = None
            if features is None:
                if count == 1:
                    raise ModelError(
                        "out of memory with a single item a batch: use a smaller model, another `dtype` or `device`"
                    )
                self._halve()
                continue
            yield features
            start += count

    def _halve(self) -> None:
        self.size //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _is_out_of_memory(error: BaseException) -> bool:
    # torch says it in several ways: a class of its own on CUDA, a plain RuntimeError on CPU and MPS.
    text = str(error).lower()
    return (
        isinstance(error, torch.cuda.OutOfMemoryError | MemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
        or "not enough memory" in text
    )
