"""Run the command line in a child of this process, and sort what came of it.

A child is forked from a parent that has imported all libraries and computed nothing, so that a run costs no start.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HANG_SECONDS = float(os.environ.get("HANG_SECONDS", "30"))
LONGEST_LINE = 80 * 24  # a screen
MEMORY_BYTES = 8 * 2**30
_EXIT_CODES = (0, 1, 2, 130)


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit code (negative: a signal), what it wrote, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float
    hung: bool = False

    @property
    def fault(self) -> str | None:
        """The class of fault that shows without knowing what was asked; None if there is none."""
        if self.hung:
            return "hang"
        if "Traceback (most recent call last)" in self.err + self.out:
            return "traceback"
        if self.code not in _EXIT_CODES:
            return f"died with {self.code}"
        if self.code and not self.err.strip():
            return "silent failure"
        if self.code and max(map(len, self.err.splitlines())) > LONGEST_LINE:
            return "endless message"
        if self.code and re.search(r"(?m)^(Error: )?'[^' ]*'$", self.err):
            return "bare word"  # str(KeyError("foo"))
        return None


@dataclass
class Started:
    """A command that runs in the background."""

    pid: int
    folder: Path
    began: float = field(default_factory=time.monotonic)

    def wait(self, seconds: float = HANG_SECONDS) -> Ran:
        """Wait for its end; after ``seconds`` it counts as hung and is killed with all its children."""
        hung = False
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - self.began > seconds:
                hung = True
                self.kill()
            time.sleep(0.005)
        taken = time.monotonic() - self.began
        out, err = ((self.folder / name).read_text(encoding="utf-8", errors="replace") for name in ("stdout", "stderr"))
        return Ran(os.waitstatus_to_exitcode(status), out, err, taken, hung)

    def kill(self) -> None:
        """End it at once, with whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def start(
    words: Sequence[str],
    logs: Path,
    *,
    cwd: Path,
    stdin: bytes = b"",
) -> Started:
    """Start ``clipbench WORDS`` in a forked child, its own process group.

    Args:
        words: The command line.
        logs: A folder for what it writes.
        cwd: Where it runs.
        stdin: What it reads.
    """
    logs.mkdir(parents=True, exist_ok=True)
    (logs / "stdin").write_bytes(stdin)
    pid = os.fork()
    if pid:
        return Started(pid, logs)
    try:
        _become(logs, cwd)
        from clipbench.cli import main

        main(list(words))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # as Python itself would
        import traceback

        traceback.print_exc()
        code = 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        code = code or 120
    os._exit(code)


def _become(logs: Path, cwd: Path) -> None:
    import resource

    os.setsid()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(logs / name, flags), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    os.chdir(cwd)


def run(words: Sequence[str], logs: Path, *, cwd: Path, stdin: bytes = b"", seconds: float = HANG_SECONDS) -> Ran:
    """``start`` and ``wait``."""
    return start(words, logs, cwd=cwd, stdin=stdin).wait(seconds)
