"""Pieces mined by several processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from clipbench.errors import ResultError
from clipbench.mining.options import MiningOptions
from clipbench.mining.pieces import Piece
from clipbench.mining.work import mine_piece


def mine_here(pieces: Sequence[Piece], options: MiningOptions) -> Iterator[dict[str, Any]]:
    """Mine pieces; yields the record of each as it is done, in any order.

    Raises:
        DataError: A shard cannot be read.
        ResultError: Something cannot be written, or a process was killed.
    """
    if options.processes == 1 or len(pieces) <= 1:
        for piece in pieces:
            yield mine_piece(piece, options)
        return
    # Not forked: Arrow and fsspec have threads.
    with ProcessPoolExecutor(min(options.processes, len(pieces)), get_context("spawn")) as pool:
        try:
            for done in as_completed([pool.submit(mine_piece, piece, options) for piece in pieces]):
                yield done.result()
        except BrokenProcessPool:
            raise ResultError("a process was killed (out of memory?): the same command goes on") from None
        finally:
            pool.shutdown(cancel_futures=True)
