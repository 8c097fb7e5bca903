"""Atomic writes of files and directories, and locks between processes."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clipbench.errors import ResultError


def atomic_write(path: Path, data: str | bytes) -> None:
    """Write a file atomically: readers see the old content or the new; text is written as UTF-8.

    Raises:
        ResultError: It cannot be written; the old file is unchanged.
    """
    with atomic_writer(path) as write:
        write(data)


@contextmanager
def atomic_writer(path: Path) -> Iterator[Callable[[str | bytes], None]]:
    """Write a file in pieces; it replaces ``path`` when the block ends, and is discarded if the block fails.

    Yields:
        A function that appends text or bytes.

    Raises:
        ResultError: It cannot be written; the old file is unchanged.
    """
    part = _part_of(path)
    with _write_errors(path):
        handle = part.open("wb")

    def write(data: str | bytes) -> None:
        with _write_errors(path):
            handle.write(data.encode() if isinstance(data, str) else data)

    try:
        yield write
        with _write_errors(path):
            handle.flush()
            os.fsync(handle.fileno())
            handle.close()
            os.replace(part, path)
    finally:
        with suppress(OSError):
            handle.close()
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path, put_in_place: Callable[[Path, Path], None] | None = None) -> Iterator[Path]:
    """Fill a directory that replaces ``path`` when the block ends, and is discarded if the block fails.

    Args:
        path: The directory; an existing one is replaced, missing parents are created.
        put_in_place: Moves the filled directory (first argument) to ``path`` (second) in another way,
            such as file by file into an existing directory.

    Yields:
        An empty directory to fill.

    Raises:
        ResultError: A file cannot be written, by the block or afterwards.
    """
    part = _part_of(path)
    try:
        with _write_errors(path):
            part.mkdir(parents=True)
            yield part
            for file in part.rglob("*"):
                _sync(file)
            (put_in_place or _replace)(part, path)
            _sync(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_parts(folder: Path, pattern: str = "*") -> None:
    """Remove the partial files of killed processes; call it only if no other process is writing.

    Args:
        folder: The directory that holds the files.
        pattern: A glob for the names of the final files or directories.
    """
    for part in folder.glob(f".{pattern}.part"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            with suppress(OSError):
                part.unlink()


@contextmanager
def lock(path: Path, on_busy: Callable[[], None] | None = None) -> Iterator[None]:
    """Lock a file against other processes; the lock is released when the block or the process ends.

    Args:
        path: The lock file, created if missing.
        on_busy: Called once before waiting, if another process holds the lock; it may raise to give up.

    Raises:
        ResultError: The file cannot be locked.
    """
    from filelock import FileLock, Timeout

    held = FileLock(path)
    try:
        try:
            held.acquire(timeout=0)
        except Timeout:
            if on_busy:
                on_busy()
            held.acquire()
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ResultError(f"{path}: cannot be locked: {reason}; use a directory on a local disk") from None
    try:
        yield
    finally:
        held.release()


def _part_of(path: Path) -> Path:
    # Hidden, and unique over threads, processes and machines that share a disk.
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResultError(f"{path}: cannot be written: {error.strerror or error}") from error


def _replace(new: Path, path: Path) -> None:
    if path.is_dir():
        old = _part_of(path)
        os.replace(path, old)
        os.replace(new, path)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(new, path)


def _sync(path: Path) -> None:
    """Flush a file or a directory to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no directories
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
