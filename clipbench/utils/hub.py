"""Interprets errors of the Hugging Face hub, from any library or HTTP client."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LOG = logging.getLogger("clipbench")
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
_SAY_AFTER, _WAIT, _ASK_AGAIN_AFTER = 2.0, 8.0, 60.0  # seconds
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


class _Answers:
    """Whether the hub answers. If it does, it is only asked once; if not, it is asked again after a while."""

    def __init__(self) -> None:
        self.reached = False
        self.missed_at: float | None = None
        self.cache_only = False  # requests are off because it does not answer, not because the user said so

    def ask(self) -> bool:
        """Wait for any answer from the hub, for ``HF_HUB_ETAG_TIMEOUT`` or 8 seconds."""
        if not self.reached and (self.missed_at is None or time.monotonic() - self.missed_at > _ASK_AGAIN_AFTER):
            self.reached = _reach()
            self.missed_at = None if self.reached else time.monotonic()
        return self.reached


_ANSWERS = _Answers()


def _reach() -> bool:
    from huggingface_hub import constants, get_session

    chosen = "HF_HUB_ETAG_TIMEOUT" in os.environ
    wait = float(constants.HF_HUB_ETAG_TIMEOUT) if chosen else _WAIT
    answered = threading.Event()

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=wait, follow_redirects=False)
            answered.set()
        except Exception:  # whatever the HTTP client raises, the hub was not reached
            return

    # In a thread, because no client's timeout bounds name resolution, or several addresses tried in turn.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(min(_SAY_AFTER, wait))
    if thread.is_alive():
        _LOG.warning("clipbench: waiting up to %.0f seconds for %s", wait, constants.ENDPOINT)
        thread.join(max(wait - _SAY_AFTER, 0))
    return answered.is_set()


@contextmanager
def cache_if_unreached(needed: bool = True) -> Iterator[None]:
    """In this block, a hub that does not answer is not asked again: whatever is not in the cache fails at once.

    Otherwise, the libraries would try every file several times, and wait each time.

    Args:
        needed: Whether the block may need the hub; if not, nothing is done.
    """
    from huggingface_hub import constants

    if not needed or constants.HF_HUB_OFFLINE or _ANSWERS.ask():
        yield
        return
    constants.HF_HUB_OFFLINE = _ANSWERS.cache_only = True  # the switch that all these libraries look at
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = _ANSWERS.cache_only = False


def unanswered() -> bool:
    """Whether requests are off, inside ``cache_if_unreached``, because the hub does not answer."""
    return _ANSWERS.cache_only


def offline(library_switch: str) -> bool:
    """Whether the user has turned offline mode on.

    Args:
        library_switch: A library's own environment variable for offline mode, which the hub client ignores.
    """
    from huggingface_hub import constants

    switched_off = bool(constants.HF_HUB_OFFLINE) and not _ANSWERS.cache_only
    return switched_off or os.environ.get(library_switch, "").upper() in ("1", "ON", "YES", "TRUE")
