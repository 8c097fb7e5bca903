"""Pieces mined by a Ray cluster, through Ray Data. Its machines must share the output folder."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from clipbench.errors import ClipbenchError, ConfigError, DataError, ResultError
from clipbench.mining.options import MiningOptions
from clipbench.mining.pieces import Piece
from clipbench.mining.work import mine_piece

_CONNECT_SECONDS: Final = 10


def mine_on_ray(pieces: Sequence[Piece], options: MiningOptions) -> Iterator[dict[str, Any]]:
    """Mine pieces on a cluster; yields the record of each as it is done, in any order.

    The cluster is that of ``RAY_ADDRESS``, else one that was started here by ``ray start``, else a new one of this
    machine alone.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at ``RAY_ADDRESS``.
        DataError: A shard cannot be read.
        ResultError: Something cannot be written, or the cluster was lost.
    """
    if not pieces:
        return
    try:
        import ray
        import ray.data
    except ImportError:
        raise ConfigError('ray is not installed: pip install "clipbench[ray]"') from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _check_address(os.environ.get("RAY_ADDRESS", ""))
    try:
        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ray.exceptions.RayError, ValueError, RuntimeError) as error:
        place = os.environ.get("RAY_ADDRESS") or "this machine"
        raise ConfigError(f"ray: no cluster at {place}: {' '.join(str(error).split())[:200]}") from None
    ray.data.DataContext.get_current().enable_progress_bars = False
    numbers = ray.data.from_items([{"place": place} for place in range(len(pieces))], override_num_blocks=len(pieces))
    try:
        for row in numbers.map(partial(_mine_row, pieces=list(pieces), options=options)).iter_rows():
            if row["error"]:
                raise (ResultError if row["is_output"] else DataError)(row["error"])
            yield json.loads(row["record"])
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ResultError(f"ray: the cluster was lost: {reason}; the same command goes on") from None


def _check_address(address: str) -> None:
    """Refuse an address where nobody answers: Ray itself would wait for minutes."""
    host, sign, port = address.removeprefix("ray://").rpartition(":")
    if not sign or not port.isdecimal():  # "auto", "local", or none
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"ray: no cluster at RAY_ADDRESS {address}: {error}") from None


def _mine_row(row: dict[str, Any], pieces: Sequence[Piece], options: MiningOptions) -> dict[str, Any]:
    """Errors travel as text: an exception would come back with Ray's own traceback around it."""
    try:
        record = mine_piece(pieces[row["place"]], options)
    except ClipbenchError as error:
        return {"record": "", "error": str(error), "is_output": isinstance(error, ResultError)}
    return {"record": json.dumps(record), "error": "", "is_output": False}
