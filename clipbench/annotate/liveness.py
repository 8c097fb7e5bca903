"""Whether an open store is still open, in this process or another."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

_FRESH: Final = 60.0  # seconds


class Liveness:
    """A lock that a store holds while it is open; the system releases it when the process dies."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        for other in folder.iterdir():  # left by killed processes; a fresh one may be about to be locked
            with suppress(OSError):  # another process removes it at the same time
                if time.time() - other.stat().st_mtime > _FRESH:
                    self.is_alive(other.name)
        self._lock = FileLock(folder / name)
        self._lock.acquire()

    def end(self) -> None:
        self._lock.release()
        with suppress(OSError):
            Path(self._lock.lock_file).unlink()

    def is_alive(self, name: str) -> bool:
        path = self._folder / name
        if not path.exists():
            return False
        other = FileLock(path)
        try:
            other.acquire(timeout=0)
        except Timeout:
            return True
        other.release()
        with suppress(OSError):
            path.unlink()
        return False
