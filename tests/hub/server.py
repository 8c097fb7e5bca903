"""A Hugging Face hub on the loopback interface, for tests of the real download code.

Clients find it through ``HF_ENDPOINT``, which the libraries read when they are imported, so they
run in processes of their own, started with :meth:`Hub.env`.
"""

from __future__ import annotations

import os
import re
import socket
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .handler import Handler, Request
from .repositories import Commit, Kind, Repository

CLIENT_SETTINGS = re.compile(r"(HF|HUGGING_?FACE|TRANSFORMERS|DATASETS)_.*|.*_PROXY|XDG_CACHE_HOME", re.IGNORECASE)


@dataclass
class Trouble:
    """A failure that was ordered: for which paths, how often (None: always), and which one.

    Attributes:
        pattern: Shell pattern on a request's path.
        times: How often it still happens.
        status: Answer with this status, or
        offset: break the connection when the file's byte at this offset is due.
        reset: Break it rudely (a TCP reset) instead of just closing it early.
    """

    pattern: str
    times: int | None
    status: int = 0
    offset: int = 0
    reset: bool = False


@dataclass
class Hub:
    """The hub: repositories, a log of requests, and ways to fail.

    Large files are redirected to a second port, as the real hub redirects to another host.

    Attributes:
        token: The one access token that opens gated repositories.
        page_size: Entries in a page of a tree listing.
        requests: Everything that was asked, in order.
    """

    token: str = "hf_loopback"
    page_size: int = 1000
    requests: list[Request] = field(default_factory=list)
    _repositories: dict[tuple[Kind, str], Repository] = field(default_factory=dict)
    _received: list[tempfile.TemporaryDirectory[str]] = field(default_factory=list)
    _troubles: list[Trouble] = field(default_factory=list)
    _servers: list[Server] = field(default_factory=list)
    _ports: tuple[int, int] = (0, 0)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # --- what it holds

    def add_model(self, name: str, folder: Path, **where: Any) -> Commit:
        """Commit a folder to a model repository; see :meth:`add`."""
        return self.add("model", name, folder, **where)

    def add_dataset(self, name: str, folder: Path, **where: Any) -> Commit:
        """Commit a folder to a dataset repository; see :meth:`add`."""
        return self.add("dataset", name, folder, **where)

    def add(
        self,
        kind: Kind,
        name: str,
        folder: Path,
        *,
        commit: str | None = None,
        branch: str | None = "main",
        tag: str | None = None,
        gated: bool = False,
    ) -> Commit:
        """Commit a folder's files to a repository, which is made at its first commit.

        Args:
            kind: Model or dataset.
            name: The repository's id, ``owner/name``.
            folder: It is read when files are asked for: leave it as it is.
            commit: The sha to be known by, 40 hex digits, where a client pins one.
            branch: The branch that moves to this commit, if any.
            tag: A tag for it.
            gated: The repository's files are only for holders of :attr:`token`.
        """
        repository = self._repositories.setdefault((kind, name), Repository(kind, name))
        repository.gated = gated
        made = repository.add(folder, sha=commit)
        if branch:
            repository.branches[branch] = made.sha
        if tag:
            repository.tags[tag] = made.sha
        return made

    def add_files(self, kind: Kind, name: str, files: Mapping[str, bytes]) -> Commit:
        """Commit files by path, as clients upload them, to a repository's main branch."""
        self._received.append(tempfile.TemporaryDirectory())
        folder = Path(self._received[-1].name)
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        return self.add(kind, name, folder)

    def files(self, kind: Kind, name: str) -> dict[str, str]:
        """Path to text of what is on a repository's main branch."""
        commit = self._repositories[kind, name].at("main")
        return {path: file.source.read_text(encoding="utf-8") for path, file in commit.files.items()} if commit else {}

    def find(self, kind: Kind, name: str) -> Repository | None:
        """Look up a repository."""
        return self._repositories.get((kind, name))

    # --- what goes wrong

    def cut_after(self, offset: int, pattern: str, *, times: int | None = 1, reset: bool = False) -> None:
        """Break connections when the byte at ``offset`` of a matching file is due.

        One cut is mended by a client that resumes. With ``times=None`` nothing gets past that byte.
        """
        self._troubles.append(Trouble(pattern, times, offset=offset, reset=reset))

    def status(self, pattern: str, status: int, *, times: int | None = None) -> None:
        """Answer matching requests with an error status."""
        self._troubles.append(Trouble(pattern, times, status=status))

    def mend(self) -> None:
        """Forget all failures that were ordered."""
        self._troubles.clear()

    def trouble(self, path: str, span: range | None = None) -> Trouble | None:
        """Take the failure due for a request.

        Args:
            path: The request's path.
            span: Bytes about to be sent, when it is time to think of cuts and not of statuses.
        """
        with self._lock:
            for trouble in self._troubles:
                is_due = trouble.status > 0 if span is None else not trouble.status and trouble.offset in span
                if is_due and trouble.times != 0 and fnmatch(path, trouble.pattern):
                    trouble.times = None if trouble.times is None else trouble.times - 1
                    return trouble
        return None

    # --- what was asked

    def log(self, request: Request) -> None:
        """Note a request."""
        with self._lock:
            self.requests.append(request)

    def asked(self, pattern: str = "*", *, method: str = "*") -> list[Request]:
        """List the requests with a matching path and method."""
        return [r for r in self.requests if fnmatch(r.path, pattern) and fnmatch(r.method, method)]

    def sent(self, pattern: str = "*") -> int:
        """Count body bytes sent for matching paths."""
        return sum(request.sent for request in self.asked(pattern))

    # --- running

    @property
    def url(self) -> str:
        """What ``HF_ENDPOINT`` is set to."""
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def cdn_url(self) -> str:
        """Where large files come from: another origin, so clients keep their token to themselves."""
        return f"http://127.0.0.1:{self._ports[1]}"

    def up(self) -> None:
        """Listen; after :meth:`down`, on the same ports again."""
        self._servers = [Server(self, port, is_cdn=index == 1) for index, port in enumerate(self._ports)]
        self._ports = (self._servers[0].server_port, self._servers[1].server_port)
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        """Stop listening and drop every connection."""
        for server in self._servers:
            server.close()
        self._servers = []

    def env(self, home: Path, *, offline: bool = False, **more: str) -> dict[str, str]:
        """Make the environment for a client process.

        Args:
            home: Where it keeps what it downloads; a fresh folder is a fresh cache.
            offline: Set ``HF_HUB_OFFLINE``.
            more: Further variables.
        """
        env = {name: value for name, value in os.environ.items() if not CLIENT_SETTINGS.fullmatch(name)}
        env |= {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_ETAG_TIMEOUT": "5",
            "HF_HUB_DOWNLOAD_TIMEOUT": "5",
            "NO_PROXY": "*",
            "OMP_NUM_THREADS": "1",  # tiny models wait for their threads more than they compute
        }
        return env | ({"HF_HUB_OFFLINE": "1"} if offline else {}) | more


class Server(ThreadingHTTPServer):
    """One listening port of the hub."""

    daemon_threads = True

    def __init__(self, hub: Hub, port: int, *, is_cdn: bool) -> None:
        """Listen on a port; 0 takes a free one."""
        self.hub = hub
        self.is_cdn = is_cdn
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, and remember it."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""

    def close(self) -> None:
        """Stop listening; connections that clients kept open are dropped too."""
        self.shutdown()
        self.server_close()
        for connection in list(self._connections):
            self.shutdown_request(connection)
