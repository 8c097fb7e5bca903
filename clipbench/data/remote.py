"""Files at URLs: their size, ranges of their bytes, all of their bytes in order, and lists of them.

``http(s)`` is read with Python's own client, which needs nothing installed and says what a server answered; all other
schemes (``s3``, ``gs``, ``hf``, ``memory``, …) through fsspec.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from clipbench.errors import DataError
from clipbench.utils.text import reason
from clipbench.utils.urls import without_secrets

T = TypeVar("T")

_TIMEOUT = 60.0  # seconds without an answer
_TRIES, _PAUSE = 4, 0.5  # seconds before the second try, twice as many before each further one
_MEANINGS = {401: "not allowed: it needs a login", 403: "not allowed", 404: "no such file", 410: "no such file"}
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "oci": "ocifs"}


class RemoteFile(NamedTuple):
    """What a server says about a file.

    Attributes:
        size: Bytes.
        stamp: Changes when the file does, as far as the server tells.
        has_ranges: Parts of it can be read.
    """

    size: int
    stamp: str
    has_ranges: bool


def stat(url: str) -> RemoteFile:
    """Ask for a file's size and stamp.

    Raises:
        DataError: There is no such file, or it cannot be read; names the URL without secrets.
    """
    if not _is_http(url):
        return _tried(url, lambda: _stat_fsspec(url))

    def ask() -> RemoteFile:
        # No HEAD: a signed URL allows GET only.
        with _get(url, "bytes=0-0") as answer:
            partial = answer.status == 206
            size = answer.headers["Content-Range"].rpartition("/")[2] if partial else answer.headers["Content-Length"]
            if not (size or "").isdecimal():
                raise DataError(f"{without_secrets(url)}: the server does not say how large it is")
            stamp = answer.headers["ETag"] or answer.headers["Last-Modified"] or ""
            return RemoteFile(int(size), stamp, partial)

    return _tried(url, ask)


def read_range(url: str, start: int, size: int) -> bytes:
    """Read ``size`` bytes from ``start``.

    Raises:
        DataError: It cannot be read, or is shorter.
    """

    def read() -> bytes:
        if _is_http(url):
            with _get(url, f"bytes={start}-{start + size - 1}") as answer:
                if answer.status != 206:
                    raise DataError(f"{without_secrets(url)}: the server does not send parts of files anymore")
                content: bytes = answer.read()
        else:
            system, path = _system(url)
            content = system.cat_file(path, start=start, end=start + size)
        if len(content) != size:
            raise ConnectionError(errno.EIO, f"{len(content):,} of {size:,} bytes came")
        return content

    return _tried(url, read) if size else b""


@contextmanager
def open_stream(url: str) -> Iterator[IO[bytes]]:
    """Open a file to be read once, from its beginning to its end.

    Raises:
        DataError: It cannot be opened.
    """
    if _is_http(url):
        stream: Any = _tried(url, lambda: _get(url))
    else:
        system, path = _system(url)
        stream = _tried(url, lambda: system.open(path, "rb"))
    with stream:
        yield stream


def list_files(url: str) -> list[str]:
    """The URLs that match a pattern with ``*``, ``?`` or ``[…]``.

    Raises:
        DataError: They cannot be listed.
    """
    if _is_http(url):
        raise DataError(
            f"{without_secrets(url)}: a web server has no list of files: name the tars, as in {{00000..00041}}.tar"
        )
    system, _ = _system(url)
    return _tried(url, lambda: [system.unstrip_protocol(path) for path in system.glob(url)])


def failure(url: str, error: BaseException) -> DataError:
    """The error for a URL that cannot be read."""
    name = without_secrets(url)
    if isinstance(error, HTTPError):
        meaning = _MEANINGS.get(error.code, "the server answered with an error")
        return DataError(f"{name}: {meaning} (HTTP {error.code} {error.reason})")
    if isinstance(error, FileNotFoundError):
        return DataError(f"{name}: no such file")
    if isinstance(error, PermissionError):
        return DataError(f"{name}: not allowed: check your credentials ({without_secrets(reason(error))})")
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, BaseException) else error
    return DataError(f"{name}: cannot be read: {type(cause).__name__}: {without_secrets(reason(cause))}")


def _is_http(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def _get(url: str, range_: str | None = None) -> Any:
    headers = {"User-Agent": "clipbench", "Accept-Encoding": "identity", **({"Range": range_} if range_ else {})}
    return urlopen(Request(url, headers=headers), timeout=_TIMEOUT)  # noqa: S310 (http or https)


def _stat_fsspec(url: str) -> RemoteFile:
    system, path = _system(url)
    info = system.info(path)
    if info.get("type") == "directory":
        raise IsADirectoryError(errno.EISDIR, "a folder, not a file")
    return RemoteFile(int(info["size"]), str(system.ukey(path)), has_ranges=True)


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the file's path in it."""
    from fsspec.core import url_to_fs

    scheme = url.partition("://")[0].rpartition("::")[2].lower()
    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        advice = f"pip install {package}" if package else reason(error)
        raise DataError(
            f"{without_secrets(url)}: {scheme}:// needs a package that is not installed: {advice}"
        ) from None
    except Exception as error:  # an unknown scheme, or what a file system's constructor raises
        raise failure(url, error) from error
    return system, path


def _tried(url: str, action: Callable[[], T]) -> T:
    """Do something with a URL; again where the connection failed, not where the server refused."""
    for attempt in range(_TRIES):
        try:
            return action()
        except DataError:
            raise
        except Exception as error:  # file systems raise any error of their libraries
            if attempt == _TRIES - 1 or not _may_pass(error):
                raise failure(url, error) from error
        time.sleep(_PAUSE * 2**attempt)
    raise AssertionError


def _may_pass(error: Exception) -> bool:
    if isinstance(error, HTTPError):
        return error.code >= 500 or error.code in (408, 429)
    cause = error.reason if isinstance(error, URLError) else error
    return isinstance(cause, (ConnectionError, TimeoutError)) and not isinstance(cause, ConnectionRefusedError)
