"""Interprets errors of the Hugging Face hub, from any library or HTTP client."""

from __future__ import annotations

import os
from collections.abc import Iterator

# By class name: which HTTP library raises (requests, httpx, aiohttp, …) depends on the hub client's version.
_NOT_REACHED = {
    "ConnectError",
    "ConnectTimeout",
    "ConnectionError",
    "ConnectionRefusedError",
    "LocalEntryNotFoundError",
    "MaxRetryError",
    "NameResolutionError",
    "NewConnectionError",
    "OfflineModeIsEnabled",
    "PoolTimeout",
    "ProxyError",
    "ReadTimeout",
    "SSLError",
    "ClientConnectorError",
}
_CUT_OFF = {
    "ChunkedEncodingError",
    "ClientPayloadError",
    "ConnectionResetError",
    "IncompleteRead",
    "ProtocolError",
    "ReadError",
    "RemoteProtocolError",
    "RemoteDisconnected",
}


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and the chain of exceptions that caused it."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def class_names(error: BaseException) -> set[str]:
    """Names of the classes, and of their bases, of an exception and its causes.

    Examples:
        >>> sorted(class_names(ConnectionResetError()) & {"ConnectionError", "OSError", "ValueError"})
        ['ConnectionError', 'OSError']
    """
    return {kind.__name__ for link in causes(error) for kind in type(link).__mro__}


def error_status(error: BaseException) -> int | None:
    """The HTTP status, 400 or above, of the response that caused an exception, if any."""
    for link in causes(error):
        status = getattr(getattr(link, "response", None), "status_code", None)
        if isinstance(status, int) and status >= 400:
            return status
    return None


def not_reached(error: BaseException) -> bool:
    """Whether the hub is unreachable: it is down, there is no connection, or offline mode is on."""
    return bool(class_names(error) & _NOT_REACHED)


def cut_off(error: BaseException) -> bool:
    """Whether a download was interrupted, or a file is shorter than announced."""
    announced = any("Consistency check failed" in str(link) for link in causes(error))
    return announced or bool(class_names(error) & _CUT_OFF)


def offline(library_switch: str) -> bool:
    """Whether offline mode is on.

    Args:
        library_switch: A library's own environment variable for offline mode, which the hub client ignores.
    """
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE) or os.environ.get(library_switch, "").upper() in ("1", "ON", "YES", "TRUE")
