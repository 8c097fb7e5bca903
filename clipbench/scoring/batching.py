"""Batches that shrink when the device's memory does not hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from clipbench.errors import ModelError

T = TypeVar("T")


class BatchSize:
    """How many items go through an encoder at once; halves on out-of-memory, and stays halved.

    Args:
        size: Items a batch, or ``auto``.
        automatic: What ``auto`` starts with.
    """

    def __init__(self, size: int | str, automatic: int) -> None:
        self.size = automatic if size == "auto" else int(size)

    def split(self, items: Sequence[T], encode: Callable[[Sequence[T]], torch.Tensor]) -> Iterator[torch.Tensor]:
        """Encode items batch by batch, in order.

        Yields:
            What ``encode`` returned for each batch.

        Raises:
            ModelError: A single item does not fit into memory.
        """
        start = 0
        while start < len(items):
            size = self.size
            try:
                features = encode(items[start : start + size])
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                # Outside the handler the traceback, and with it the batch's tensors, is gone.
                features = None
            if features is None:
                self._halve()
                continue
            yield features
            start += size

    def _halve(self) -> None:
        if self.size == 1:
            raise ModelError("out of memory with a single item a batch: use a smaller model, --dtype or --device")
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
