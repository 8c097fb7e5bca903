"""Several processes that share a study's runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence


def run_jobs(jobs: int, arguments: Sequence[str] | None = None) -> list[int]:
    """Start this very command line as several jobs, and wait for all of them.

    Args:
        jobs: How many.
        arguments: Of ``clipbench``; by default those of this process.

    Returns:
        Their exit codes.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = [sys.executable, "-m", "clipbench", *given, "--as_job"]
    started = [
        subprocess.Popen(command, env={**os.environ, **job_environment(number, jobs, os.environ)})  # noqa: S603  # ourselves
        for number in range(jobs)
    ]
    try:
        return [process.wait() for process in started]
    except BaseException:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
        raise


def job_environment(number: int, jobs: int, environment: Mapping[str, str]) -> dict[str, str]:
    """What a job sees of the machine: its share of the GPUs, at least one where there are some, and of the cores.

    >>> job_environment(1, 2, {"CUDA_VISIBLE_DEVICES": "4,5,6,7", "OMP_NUM_THREADS": "3"})
    {'CUDA_VISIBLE_DEVICES': '5,7'}
    >>> job_environment(2, 3, {"CUDA_VISIBLE_DEVICES": "0,1", "OMP_NUM_THREADS": "3"})
    {'CUDA_VISIBLE_DEVICES': '0'}

    Args:
        number: The job's, from 0.
        jobs: All of them.
        environment: The process's.
    """
    found = {}
    if "OMP_NUM_THREADS" not in environment:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        found["OMP_NUM_THREADS"] = str(max(1, cores // jobs))
    devices = _devices(environment)
    if devices:
        found["CUDA_VISIBLE_DEVICES"] = ",".join(devices[number::jobs] or [devices[number % len(devices)]])
    return found


def _devices(environment: Mapping[str, str]) -> list[str]:
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
