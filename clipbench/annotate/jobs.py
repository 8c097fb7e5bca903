"""Heavy work, one job after another in one thread, with progress, remaining time and cancellation."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from clipbench.errors import ClipbenchError, ConfigError

_LOG = logging.getLogger("clipbench")
_MOST_KEPT = 1000  # finished jobs
_LONGEST = 300  # characters of an error

State = Literal["waiting", "running", "done", "failed", "cancelled"]
OnStep = Callable[[int, int], None]
IsCancelled = Callable[[], bool]
Work = Callable[[OnStep, IsCancelled], Iterable[Any]]


class Cancelled(Exception):
    """The job was cancelled while it ran."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of a job at one moment.

    Attributes:
        id: Given by `Jobs.submit`.
        label: What it does, for people.
        state: waiting, running, done, failed or cancelled; the last three are final.
        step: Steps done.
        steps: Steps in all; 0 before the first is known.
        seconds_left: Until it is done, with what is ahead of it; None if unknown.
        ahead: Jobs that come before it.
        stored: Results that have been stored; they stay, even if the job then fails or is cancelled.
        error: Why it failed, in one line.
    """

    id: str
    label: str
    state: State
    step: int
    steps: int
    seconds_left: float | None
    ahead: int
    stored: int
    error: str

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ("done", "failed", "cancelled")


@dataclass(slots=True)
class _Entry:
    """A job as the worker keeps it; guarded by the queue's lock."""

    id: str
    label: str
    work: Work
    store: Callable[[Any], None]
    seconds: float | None
    state: State = "waiting"
    step: int = 0
    steps: int = 0
    stored: int = 0
    error: str = ""
    started: float = 0.0
    first_step: tuple[int, float] | None = None
    cancel: threading.Event = field(default_factory=threading.Event)


class Jobs:
    """A queue with one worker thread: models are not loaded twice, and two jobs never share the memory.

    Thread-safe. The thread is started by the first job.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._entries: dict[str, _Entry] = {}
        self._waiting: list[_Entry] = []
        self._running: _Entry | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._count = 0

    def submit(self, label: str, work: Work, store: Callable[[Any], None], *, seconds: float | None = None) -> Job:
        """Queue some work.

        Args:
            label: What it does, for people.
            work: Called in the worker thread with `on_step(step, steps)` and `cancelled()`; yields results. Raises
                Cancelled if `cancelled()`. Any other error is the job's.
            store: Called with each result as soon as there is one, in the worker thread; the job is done once all are
                stored.
            seconds: An estimate for all of it, until steps have been timed.

        Raises:
            ConfigError: The queue is closed.
        """
        with self._changed:
            if self._closed:
                raise ConfigError("the server is stopping: start it again to go on")
            self._count += 1
            entry = _Entry(f"job-{self._count}", label, work, store, seconds)
            self._entries[entry.id] = entry
            self._waiting.append(entry)
            self._forget()
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="clipbench-jobs", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return self._snapshot(entry)

    def get(self, job_id: str) -> Job:
        """A job as it is now.

        Raises:
            ConfigError: There is no such job.
        """
        with self._changed:
            return self._snapshot(self._entry(job_id))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job: at once if it waits, after its current step if it runs. A job that is over stays as it is."""
        with self._changed:
            entry = self._entry(job_id)
            entry.cancel.set()
            if entry.state == "waiting":
                self._waiting.remove(entry)
                self._finish(entry, "cancelled")
            return self._snapshot(entry)

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Wait until a job is over, or for `timeout` seconds."""
        with self._changed:
            entry = self._entry(job_id)
            self._changed.wait_for(lambda: entry.state in ("done", "failed", "cancelled"), timeout)
            return self._snapshot(entry)

    def close(self, timeout: float | None = 10.0) -> None:
        """Cancel everything and wait, at most `timeout` seconds, for what runs to stop."""
        with self._changed:
            self._closed = True
            for entry in list(self._waiting):
                self.cancel(entry.id)
            if self._running is not None:
                self._running.cancel.set()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _entry(self, job_id: str) -> _Entry:
        try:
            return self._entries[job_id]
        except KeyError:
            raise ConfigError(f"there is no job {job_id[:60]!r}: it is of an earlier start; ask for it again") from None

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                entry = self._running = self._waiting.pop(0)
                entry.state, entry.started = "running", self._clock()
            state, error = self._run(entry)
            with self._changed:
                self._running = None
                self._finish(entry, state, error)

    def _run(self, entry: _Entry) -> tuple[State, str]:
        """Whatever happens in a job is its own end, never the worker's."""
        try:
            for result in entry.work(lambda step, steps: self._step(entry, step, steps), entry.cancel.is_set):
                entry.store(result)
                with self._changed:
                    entry.stored += 1
        except Cancelled:
            return "cancelled", ""
        except ClipbenchError as error:
            return "failed", _one_line(str(error))
        except BaseException as error:  # a library's: SystemExit would end the thread, and the queue with it
            _LOG.debug("%s failed", entry.label, exc_info=True)
            return "failed", _one_line(f"{entry.label} failed, {type(error).__name__}: {error}")
        return "done", ""

    def _step(self, entry: _Entry, step: int, steps: int) -> None:
        with self._changed:
            entry.step, entry.steps = step, steps
            if entry.first_step is None:
                entry.first_step = (step, self._clock())

    def _finish(self, entry: _Entry, state: State, error: str = "") -> None:
        entry.state, entry.error = state, error
        entry.work, entry.store = _no_work, _ignore  # the job's own hold pictures
        self._changed.notify_all()

    def _forget(self) -> None:
        over = [entry.id for entry in self._entries.values() if entry.state in ("done", "failed", "cancelled")]
        for job_id in over[: max(0, len(over) - _MOST_KEPT)]:
            del self._entries[job_id]

    def _snapshot(self, entry: _Entry) -> Job:
        ahead = self._ahead(entry)
        left: float | None = None
        if entry.state in ("waiting", "running"):
            parts = [self._seconds_left(one) for one in (*ahead, entry)]
            left = None if None in parts else sum(part for part in parts if part is not None)
        return Job(
            entry.id, entry.label, entry.state, entry.step, entry.steps, left, len(ahead), entry.stored, entry.error
        )

    def _ahead(self, entry: _Entry) -> list[_Entry]:
        if entry.state != "waiting":
            return []
        before = self._waiting[: self._waiting.index(entry)]
        return [self._running, *before] if self._running is not None else before

    def _seconds_left(self, entry: _Entry) -> float | None:
        """By the pace of its steps, the first not counted, which loads the model; else by the estimate."""
        now = self._clock()
        if entry.first_step is not None:
            step, at = entry.first_step
            if entry.step > step and entry.steps:
                return (now - at) / (entry.step - step) * (entry.steps - entry.step)
        if entry.seconds is None:
            return None
        return max(0.0, entry.seconds - (now - entry.started)) if entry.state == "running" else entry.seconds


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def _no_work(on_step: Callable[[int, int], None], cancelled: Callable[[], bool]) -> Iterable[Any]:
    return ()


def _ignore(result: Any) -> None: ...
