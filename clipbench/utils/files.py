"""Reading of regular files, atomic writes of files and directories, and locks between processes."""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from clipbench.errors import ResultError

# The first opens nothing that blocks (a FIFO without a writer), the second is Windows' own.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def open_regular(path: str | os.PathLike[str], buffering: int = -1) -> BinaryIO:
    """Open a regular file for reading bytes.

    File names come from data; a FIFO would block forever, and a device such as ``/dev/zero`` never ends.

    Args:
        path: The file.
        buffering: Bytes that are read at once; by default, as ``open`` does.

    Raises:
        OSError: It cannot be opened, or is a directory, a FIFO, a device or a socket; ``strerror`` says so.
    """
    require_regular(path)  # before opening, which by itself can have effects on a device
    handle = os.open(path, _OPEN_FLAGS)
    try:
        _require_regular(os.fstat(handle), path)
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb", buffering)


def open_regular_text(
    path: str | os.PathLike[str], encoding: str = "utf-8-sig", newline: str | None = None
) -> io.TextIOWrapper:
    """Open a regular file for reading text, by default UTF-8 with or without a byte order mark.

    Raises:
        OSError: As for ``open_regular``.
    """
    return io.TextIOWrapper(open_regular(path), encoding=encoding, newline=newline)


def read_regular(path: str | os.PathLike[str], max_bytes: int | None = None) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: As for ``open_regular``, or it holds more than ``max_bytes``.
    """
    with open_regular(path) as file:
        content = file.read() if max_bytes is None else file.read(max_bytes + 1)
    if max_bytes is not None and len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"more than {max_bytes:,} bytes", os.fspath(path))
    return content


def require_regular(path: str | os.PathLike[str]) -> None:
    """Refuse anything but a regular file, before a library opens it by name.

    Raises:
        OSError: As for ``open_regular``.
    """
    try:
        status = Path(path).stat()
    except ValueError:  # a NUL byte or a lone surrogate in the name
        raise OSError(errno.EINVAL, "no valid file name", os.fspath(path)) from None
    _require_regular(status, path)


def _require_regular(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))


def local_path(location: str) -> Path:
    r"""A path in any common notation, including ``~/images``, ``file:///images``, and Windows' ``images\a.csv``.

    Examples:
        >>> local_path("file:///my%20images/a.jpg").as_posix()
        '/my images/a.jpg'
    """
    if location.lower().startswith("file://"):
        address = urlsplit(location)
        host = "" if address.netloc.lower() in ("", "localhost") else f"//{address.netloc}"
        location = host + unquote(address.path)
        if os.name == "nt" and not host:
            location = location.lstrip("/")  # file:///C:/images
    if os.name != "nt" and "\\" in location and not os.path.lexists(location):
        location = location.replace("\\", "/")
    try:
        return Path(location).expanduser()
    except RuntimeError:  # ~ of a user that does not exist
        return Path(location)


def atomic_write(path: Path, data: str | bytes) -> None:
    """Write a file atomically: readers see the old content or the new; text is written as UTF-8.

    Lone surrogates (from a file name that is not UTF-8) are written as JSON escapes them.

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
            handle.write(data.encode(errors="backslashreplace") if isinstance(data, str) else data)

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
