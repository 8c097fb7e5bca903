"""The server: a socket on this machine, the guarded application, and an end in good order."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from ipaddress import ip_address

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from clipbench.annotate.server.api import routes
from clipbench.annotate.server.assets import Assets
from clipbench.annotate.server.security import Guard, make_token
from clipbench.annotate.server.workbench import Workbench
from clipbench.errors import ConfigError

_STOP_SECONDS = 3  # for answers that are under way


def make_app(bench: Workbench, token: str, hosts: list[str]) -> Starlette:
    """The application, refusing whoever has no token.

    Args:
        bench: The set and its tools.
        token: See ``make_token``.
        hosts: ``name:port`` under which it answers.
    """
    assets = Assets()
    pages = [Route("/", assets.page), Route("/static/{name}", assets.file)]
    guard = Middleware(Guard, token=token, hosts=hosts)
    return Starlette(routes=[*pages, *routes(bench)], middleware=[guard])


class PageServer:
    """The server on an open socket: whoever connects waits until it runs.

    Args:
        bench: The set and its tools. Its jobs are cancelled at the end; its store stays open.
        host: Where to listen; by default, only this machine can reach it.
        port: 0 for any free one.

    Attributes:
        address: Of the page, with the token.

    Raises:
        ConfigError: The port is taken, or the host is none of this machine's.
    """

    def __init__(self, bench: Workbench, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._bench = bench
        self._socket = _listen(host, port)
        port = self._socket.getsockname()[1]
        token = make_token()
        self.address = f"http://{_shown(host)}:{port}/?token={token}"
        config = uvicorn.Config(
            make_app(bench, token, _names(host, port)), log_config=None, log_level="critical", access_log=False,
            lifespan="off", ws="none", server_header=False, timeout_graceful_shutdown=_STOP_SECONDS,
        )  # fmt: skip
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serve until ``stop`` is called or, in the main thread, the process is interrupted.

        Raises:
            KeyboardInterrupt: By Ctrl-C, once all is in order.
        """
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()
            self._bench.jobs.close()

    def stop(self) -> None:
        """Let ``run`` return. May be called from any thread."""
        self._server.should_exit = True


def serve(
    bench: Workbench, *, host: str = "127.0.0.1", port: int = 0, on_ready: Callable[[str], None] = lambda address: None
) -> None:
    """Serve the page until the process is interrupted (Ctrl-C, SIGTERM). To be called in the main thread.

    Args:
        bench: See ``PageServer``.
        host: See ``PageServer``.
        port: See ``PageServer``.
        on_ready: Called with the address, which holds the token; from then on it can be opened.

    Raises:
        ConfigError: The port is taken, or the host is none of this machine's.
        KeyboardInterrupt: By Ctrl-C, once all is in order.
    """
    server = PageServer(bench, host=host, port=port)
    on_ready(server.address)
    server.run()


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise ConfigError(f"`port` {port}: give a number from 0 to 65535; 0 is any free one")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise ConfigError(f"`host` {host}: {error.strerror}: give 127.0.0.1") from None
    listening = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # on Windows, it would let two servers share the port
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError(f"`host` {host}: no address of this machine: give 127.0.0.1") from None
        raise ConfigError(f"`port` {port}: {error.strerror}: give another one, or 0 for any free one") from None
    return listening


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 (compared, not bound)
        host = "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _names(host: str, port: int) -> list[str]:
    """The names under which the server answers. A site's own name that points here is none of them."""
    names = {_shown(host)}
    if _shown(host) == "127.0.0.1" or _is_loopback(host):
        names |= {"127.0.0.1", "localhost", "[::1]"}
    return [f"{name}:{port}" for name in sorted(names)]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
