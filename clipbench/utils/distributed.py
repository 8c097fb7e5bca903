"""Several processes that score one run together: each takes its share of the chunks, and all hear of all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeVar

from clipbench.errors import ClipbenchError

T = TypeVar("T")


class ProcessesError(ClipbenchError):
    """Another process of the run is lost, has failed, or reads other data."""


class _Failure(NamedTuple):
    reason: str


class Processes:
    """The processes of a run; by default this one alone.

    Attributes:
        rank: This process, from 0. Process 0 writes and reports.
        count: How many there are.
        device: The accelerator that is this process's own; None where the default will do.
    """

    rank = 0
    count = 1
    device: str | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def exchange(self, step: str, mine: T) -> list[T]:
        """Give something to all processes and get theirs.

        Args:
            step: What this is about, equal in all processes.
            mine: Anything that can be pickled.

        Returns:
            What each process gave, by rank.

        Raises:
            ProcessesError: A process is lost, has failed, or is at another step.
        """
        return [mine]

    @contextmanager
    def in_step(self, name: str) -> Iterator[None]:
        """A block that all processes leave together: what ends it early here fails it in the others.

        Raises:
            ProcessesError: As in :meth:`exchange`.
        """
        yield


class TorchProcesses(Processes):
    """Processes started by ``torchrun`` or ``accelerate launch``. They talk over the CPU, whatever they compute on."""

    def __init__(self) -> None:
        import torch

        # gloo notices a peer that is gone at once; nccl would wait for its timeout.
        torch.distributed.init_process_group("gloo")
        self.rank, self.count = torch.distributed.get_rank(), torch.distributed.get_world_size()
        if torch.cuda.is_available():
            local = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
            self.device = f"cuda:{local}"
        self._lost: str | None = None

    def exchange(self, step: str, mine: T) -> list[T]:
        if self._lost:
            raise ProcessesError(self._lost)
        try:
            told = self._gather((step, mine))
        except RuntimeError as error:
            self._lost = f"a process of the run is lost: {str(error).strip().splitlines()[0]}"
            raise ProcessesError(self._lost) from None
        for rank, (theirs, given) in enumerate(told):
            if isinstance(given, _Failure):
                raise ProcessesError(f"process {rank} failed: {given.reason}")
            if theirs != step:
                raise ProcessesError(f"process {rank} is not at {step!r}: all need the same data and the same flags")
        return [given for _, given in told if not isinstance(given, _Failure)]

    def _gather(self, mine: T) -> list[T]:
        import torch

        told = [mine] * self.count
        torch.distributed.all_gather_object(told, mine)
        return told

    @contextmanager
    def in_step(self, name: str) -> Iterator[None]:
        try:
            yield
            self.exchange(f"{name}: end", None)
        except ProcessesError:
            raise
        except BaseException as error:
            with suppress(ProcessesError):  # they know now, or have failed themselves
                self.exchange(name, _Failure(f"{type(error).__name__}: {error}"))
            raise


@contextmanager
def started_processes() -> Iterator[Processes]:
    """The processes that a launcher started, or this one alone.

    Raises:
        ProcessesError: The others cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Processes()
        return
    import torch

    try:
        processes = TorchProcesses()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ProcessesError(f"the launcher's other processes cannot be reached: {reason}") from None
    try:
        yield processes
    finally:
        torch.distributed.destroy_process_group()
