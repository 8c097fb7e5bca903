"""Several processes that share a study's runs."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any, cast

from clipbench.utils.allocator import keep_freed_memory


def run_jobs(
    jobs: int, work: Callable[..., int], *arguments: object, on_event: Callable[[Any], None]
) -> list[int | None]:
    """Call a function in several new processes, and wait for all of them.

    Args:
        jobs: The number of processes.
        work: A function of a module, called with the arguments and a function that hands an event over; returns an
            exit code.
        *arguments: Of the function; they must be picklable, as must the events.
        on_event: Called here with every event.

    Returns:
        The exit codes; minus a signal's number where it ended a process.
    """
    spawn = multiprocessing.get_context("spawn")
    started: list[tuple[SpawnProcess, Connection]] = []
    try:
        for number in range(jobs):
            # A pipe each, not a queue for all: a process that is killed while it holds a queue's lock stops the others.
            ours, theirs = spawn.Pipe(duplex=False)
            environment = job_environment(number, jobs, os.environ)
            process = spawn.Process(target=_job, args=(environment, work, arguments, theirs))
            started.append((process, ours))
            process.start()
            theirs.close()  # or its end would never be seen here
        _hand_over([connection for _, connection in started], on_event)
        for process, _ in started:
            process.join()
    finally:
        for process, _ in started:
            if process.is_alive():
                process.terminate()
        for process, _ in started:
            if process.pid is not None:
                process.join()
    return [process.exitcode for process, _ in started]


def _hand_over(connections: Sequence[Connection], on_event: Callable[[Any], None]) -> None:
    """Hand on what comes until all processes have ended."""
    is_open = set(connections)
    while is_open:
        for connection in cast(list[Connection], wait(list(is_open))):
            try:
                event = connection.recv()
            except (EOFError, OSError):
                is_open.discard(connection)
            else:
                on_event(event)


def _job(
    environment: Mapping[str, str], work: Callable[..., int], arguments: tuple[object, ...], connection: Connection
) -> None:
    os.environ.update(environment)  # before anything imports torch
    keep_freed_memory()
    interrupt_on_sigterm()

    def send(event: object) -> None:
        with suppress(OSError):  # nobody listens any more: the work is done all the same
            connection.send(event)

    try:
        sys.exit(work(*arguments, send))
    except KeyboardInterrupt:
        sys.exit(130)


def interrupt_on_sigterm() -> None:
    """Treat SIGTERM as Ctrl-C, so that ending a study also ends its training."""
    import signal

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def job_environment(number: int, jobs: int, environment: Mapping[str, str]) -> dict[str, str]:
    """A job's share of the machine: of the GPUs, at least one if there are any, and of the cores.

    Examples:
        >>> job_environment(1, 2, {"CUDA_VISIBLE_DEVICES": "4,5,6,7", "OMP_NUM_THREADS": "3"})
        {'CUDA_VISIBLE_DEVICES': '5,7'}
        >>> job_environment(2, 3, {"CUDA_VISIBLE_DEVICES": "0,1", "OMP_NUM_THREADS": "3"})
        {'CUDA_VISIBLE_DEVICES': '0'}

    Args:
        number: The job's, from 0.
        jobs: The number of jobs.
        environment: That of this process.
    """
    share = {}
    if "OMP_NUM_THREADS" not in environment:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        share["OMP_NUM_THREADS"] = str(max(1, cores // jobs))
    devices = _devices(environment)
    if devices:
        share["CUDA_VISIBLE_DEVICES"] = ",".join(devices[number::jobs] or [devices[number % len(devices)]])
    return share


def _devices(environment: Mapping[str, str]) -> list[str]:
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
