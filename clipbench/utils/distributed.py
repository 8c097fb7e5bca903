"""The processes of a distributed run: each computes its share, and an error in one fails all."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from clipbench.errors import ClipbenchError, ConfigError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

_LAUNCHER_VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_MOST_PROCESSES = 65_536
_LONGEST_WAIT = timedelta(hours=12)  # for the main process, while only it scores, downloads or decodes


class ProcessesError(ClipbenchError):
    """Another process of the run was lost, has failed, or reads other data."""


class _Failure(NamedTuple):
    reason: str


class Processes:
    """The processes of a run; by default only this one.

    Attributes:
        rank: The number of this process, from 0.
        count: The number of processes.
        device: The GPU of this process; None for the default device.
    """

    rank = 0
    count = 1
    device: str | None = None

    @property
    def is_main(self) -> bool:
        """Whether this is process 0, which writes and reports."""
        return self.rank == 0

    def exchange(self, step: str, mine: T) -> list[T]:
        """Send an object to all processes and receive theirs.

        Args:
            step: A name for the exchange, the same in all processes.
            mine: Any object that can be pickled.

        Returns:
            The objects of all processes, by rank.

        Raises:
            ProcessesError: A process is lost, has failed, or is at another step.
        """
        return [mine]

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenate the tensors of all processes by rank: (N, …) → (processes · N, …), without gradients."""
        return tensor

    @contextmanager
    def in_step(self, name: str) -> Iterator[None]:
        """A block that all processes leave together; an exception in one fails the others.

        Raises:
            ProcessesError: As in ``exchange``.
        """
        yield


class LaunchedProcesses(Processes):
    """Processes that ``torchrun`` or ``accelerate launch`` has started."""

    def __init__(self, device: str | None = None) -> None:
        import torch
        from accelerate import PartialState

        # Without `cpu`, accelerate sees a single process on a machine without a GPU, whatever torchrun started.
        cpu = device == "cpu" or not torch.cuda.is_available()
        # Objects go through gloo, which detects a lost process at once; nccl would wait for its timeout.
        backend = "gloo" if cpu or not torch.distributed.is_nccl_available() else "cpu:gloo,cuda:nccl"
        state = PartialState(cpu=cpu, backend=backend, timeout=_LONGEST_WAIT)
        self.rank, self.count = state.process_index, state.num_processes
        self.device = None if state.device.type == "cpu" else str(state.device)
        self._lost: str | None = None

    def exchange(self, step: str, mine: T) -> list[T]:
        if self._lost:
            raise ProcessesError(self._lost)
        try:
            received = self._gather_object((step, mine))
        except RuntimeError as error:
            self._lost = f"a process of the run is lost: {_first_line(error)}"
            raise ProcessesError(self._lost) from None
        for rank, (theirs, given) in enumerate(received):
            if isinstance(given, _Failure):
                raise ProcessesError(f"process {rank} failed: {given.reason}")
            if theirs != step:
                raise ProcessesError(f"process {rank} is not at {step!r}: all need the same data and the same options")
        return [given for _, given in received if not isinstance(given, _Failure)]

    def _gather_object(self, mine: T) -> list[T]:
        from accelerate.utils import gather_object

        received: list[T] = gather_object([mine])
        return received

    def gather(self, tensor: Tensor) -> Tensor:
        from accelerate.utils import gather

        gathered: Tensor = gather(tensor)
        return gathered

    @contextmanager
    def in_step(self, name: str) -> Iterator[None]:
        try:
            yield
            self.exchange(f"{name}: end", None)
        except ProcessesError:
            raise
        except BaseException as error:
            with suppress(ProcessesError):  # the others have been notified, or have failed themselves
                self.exchange(name, _Failure(f"{type(error).__name__}: {error}"))
            raise


@contextmanager
def started_processes(device: str | None = None) -> Iterator[Processes]:
    """The processes that a launcher started, all of which must call this; without a launcher, only this one.

    The connection outlives the block, because accelerate keeps its state until the process ends.

    Args:
        device: ``cpu`` to leave the GPUs of the machine unused.

    Raises:
        ConfigError: The launcher's environment is invalid.
        ProcessesError: The other processes cannot be reached.
    """
    expected = _launched()
    if expected < 2:
        yield Processes()
        return
    import torch

    ours = not torch.distributed.is_initialized()
    try:
        processes = LaunchedProcesses(device)
    except (RuntimeError, ValueError) as error:
        raise ProcessesError(f"the launcher's other processes cannot be reached: {_first_line(error)}") from None
    if ours:
        atexit.register(_disconnect)
    if processes.count != expected:
        raise ConfigError(
            f"WORLD_SIZE is {expected}, processes seen by accelerate: {processes.count}; start with"
            " torchrun or accelerate launch, and do not create an accelerate state before"
        )
    yield processes


def _launched() -> int:
    """The number of processes according to the launcher's environment."""
    text = os.environ.get("WORLD_SIZE", "1")
    count = _number(text, _MOST_PROCESSES)
    if not count:
        raise ConfigError(f"WORLD_SIZE is {text!r}, not a number of processes: unset it, or start with torchrun")
    for name, most in (("RANK", count - 1), ("LOCAL_RANK", count - 1), ("MASTER_PORT", 65_535)):
        value = os.environ.get(name)
        if value is not None and value != "-1" and _number(value, most) is None:
            raise ConfigError(f"{name} is {value!r}, not a number from 0 to {most}: unset it, or start with torchrun")
    # accelerate takes LOCAL_RANK alone as the sign of a launcher.
    started_by = next((name for name in ("WORLD_SIZE", "LOCAL_RANK") if name in os.environ), None)
    missing = [name for name in _LAUNCHER_VARIABLES if name not in os.environ]
    if missing and (count > 1 or os.environ.get("LOCAL_RANK", "-1") != "-1"):
        value = os.environ[str(started_by)]
        raise ConfigError(f"{started_by} is {value}, but {missing[0]} is not set: unset it, or start with torchrun")
    return count


def _number(text: str, most: int) -> int | None:
    """A number from 0 to ``most``, or None."""
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(most)) or int(text) > most:
        return None
    return int(text)


def _disconnect() -> None:
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
