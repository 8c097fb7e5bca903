"""The loopback hub's HTTP side: which answer a request gets, header by header."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, NoReturn, cast
from urllib.parse import parse_qs, quote, unquote, urlencode

from .repositories import Commit, File, Kind, Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .server import Server

CHUNK_BYTES = 1 << 16


@dataclass
class Request:
    """One request, as the log keeps it.

    Attributes:
        method: ``GET``, ``HEAD`` or ``POST``.
        path: The decoded path, without the query.
        headers: As sent.
        status: What was answered; 0 while nothing was.
        sent: Body bytes written so far.
        cdn: It went to the host that large files are redirected to.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    status: int = 0
    sent: int = 0
    cdn: bool = False


@dataclass(eq=False)
class RefusalError(Exception):
    """An answer that is an error, with the headers from which clients tell what is wrong."""

    status: int
    code: str = ""
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Log the request, and answer it or fail as ordered."""
        path, _, query = self.path.partition("?")
        self.form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.entry = Request(self.command, unquote(path), dict(self.headers), cdn=self.server.is_cdn)
        self.server.hub.log(self.entry)
        try:
            if trouble := self.server.hub.trouble(self.entry.path):
                raise RefusalError(trouble.status, message="ordered by a test")
            self._route([unquote(part) for part in path.strip("/").split("/")], parse_qs(query))
        except RefusalError as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message} | refusal.headers
            self._json({"error": refusal.message}, headers, status=refusal.status)

    do_HEAD = do_GET  # noqa: N815  # the name that http.server looks for
    do_POST = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Print nothing: the hub keeps its own log."""

    # --- routes

    def _route(self, parts: list[str], query: dict[str, list[str]]) -> None:
        match parts:
            case ["api", "whoami-v2"]:
                self._whoami()
            case ["api", "validate-yaml"]:
                self._json({"errors": [], "warnings": []})
            case ["api", "repos", "create"]:
                self._create(json.loads(self.form))
            case ["api", "agent-harnesses"]:  # which programs write code; clients ask once a day
                self._json({"standardEnvVars": [], "harnesses": {}})
            case ["api", "models" | "datasets" | "spaces" as kinds, *rest]:
                repository, rest = self._find(cast(Kind, kinds.removesuffix("s")), rest)
                self._api(repository, rest, query)
            case ["datasets", *rest]:
                self._resolve(*self._find("dataset", rest))
            case ["spaces", *rest]:
                self._resolve(*self._find("space", rest))
            case _:
                self._resolve(*self._find("model", parts))

    def _find(self, kind: Kind, parts: list[str]) -> tuple[Repository, list[str]]:
        for length in (2, 1):
            if repository := self.server.hub.find(kind, "/".join(parts[:length])):
                return repository, parts[length:]
        if self._token():
            raise RefusalError(404, "RepoNotFound", "Repository not found")
        raise RefusalError(401, "RepoNotFound", "Invalid username or password.")  # what strangers get

    def _commit(self, repository: Repository, revision: str) -> Commit:
        if commit := repository.at(revision):
            return commit
        raise RefusalError(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    def _whoami(self) -> None:
        if self._token() != self.server.hub.token:
            raise RefusalError(401, message="Invalid username or password.")
        self._json({"type": "user", "name": "tester", "orgs": [], "auth": {"type": "access_token"}})

    def _api(self, repository: Repository, parts: list[str], query: dict[str, list[str]]) -> None:
        match parts:
            case []:
                self._info(repository, "main", query)
            case ["revision", revision]:
                self._info(repository, revision, query)
            case ["tree", revision, *path]:
                self._tree(self._commit(repository, revision), "/".join(path), query)
            case ["paths-info", revision]:
                form = parse_qs(self.form)
                commit = self._commit(repository, revision)
                paths = [path.strip("/") for path in form.get("paths", [])]
                self._json(list(commit.paths_info(paths, expand=_is_set(form, "expand"))))
            case ["refs"]:
                self._json(repository.refs())
            case ["preupload", _]:
                paths = [file["path"] for file in json.loads(self.form)["files"]]
                files = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
                self._json({"files": files})
            case ["commit", "main"]:
                self._receive(repository, [json.loads(line) for line in self.form.splitlines()])
            case _:
                raise RefusalError(404, message="Not served by the loopback hub")

    def _create(self, wanted: dict[str, str]) -> None:
        kind, name = cast(Kind, wanted.get("type") or "model"), "/".join((wanted["organization"], wanted["name"]))
        is_there = self.server.hub.find(kind, name) is not None
        if not is_there:
            self.server.hub.add_files(kind, name, {})
        self._json({"url": f"{self.server.hub.url}/{name}", "name": name}, status=409 if is_there else 200)

    def _receive(self, repository: Repository, lines: list[dict[str, Any]]) -> None:
        """A commit: files in base64, and names of files that go."""
        head = cast(Commit, repository.at("main"))
        if lines[0]["value"].get("parentCommit", head.sha) != head.sha:
            raise RefusalError(412, message="A commit has happened since. Please refresh and try again.")
        files = {path: file.source.read_bytes() for path, file in head.files.items()}
        for line in lines[1:]:
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            else:
                del files[line["value"]["path"]]
        sha = self.server.hub.add_files(repository.kind, repository.id, files).sha
        url = f"{self.server.hub.url}/{repository.id}"
        self._json({"url": url, "commitUrl": f"{url}/commit/{sha}", "commitOid": sha, "success": True})

    def _info(self, repository: Repository, revision: str, query: dict[str, list[str]]) -> None:
        self._json(repository.info(self._commit(repository, revision), blobs=_is_set(query, "blobs")))

    def _tree(self, commit: Commit, under: str, query: dict[str, list[str]]) -> None:
        try:
            entries = commit.tree(under, recursive=_is_set(query, "recursive"), expand=_is_set(query, "expand"))
        except KeyError:
            self._no_entry(commit, under)
        start = int(query.get("cursor", ["0"])[0])
        stop = start + self.server.hub.page_size
        headers = {}
        if stop < len(entries):
            following = urlencode({name: values[0] for name, values in query.items()} | {"cursor": stop})
            headers["Link"] = f'<{self.server.hub.url}{self.path.partition("?")[0]}?{following}>; rel="next"'
        self._json(entries[start:stop], headers)

    def _resolve(self, repository: Repository, parts: list[str]) -> None:
        match parts:
            case ["resolve", revision, *rest]:
                commit, path = self._commit(repository, revision), "/".join(rest)
            case _:
                raise RefusalError(404, message="Not served by the loopback hub")
        if repository.gated and not self.server.is_cdn and self._token() != self.server.hub.token:
            raise RefusalError(403 if self._token() else 401, "GatedRepo", f"Access to {repository.id} is restricted.")
        if path not in commit.files:
            self._no_entry(commit, path)
        file = commit.files[path]
        if file.sha256 and not self.server.is_cdn:
            prefix = "" if repository.kind == "model" else f"/{repository.kind}s"
            address = f"{prefix}/{repository.id}/resolve/{commit.sha}/{quote(path)}"
            self._answer(
                302,
                {
                    "Location": self.server.hub.cdn_url + address,
                    "X-Repo-Commit": commit.sha,
                    "X-Linked-Etag": f'"{file.etag}"',
                    "X-Linked-Size": str(file.size),
                    "Content-Length": "0",
                },
            )
        else:
            self._file(commit, file)

    def _no_entry(self, commit: Commit, path: str) -> NoReturn:
        # With the commit, clients remember that the file is not there and can go on offline.
        raise RefusalError(404, "EntryNotFound", f"Entry not found: {path}", {"X-Repo-Commit": commit.sha})

    # --- answers

    def _token(self) -> str:
        return str(self.headers.get("Authorization", "")).removeprefix("Bearer ")

    def _json(self, content: object, headers: Mapping[str, str] | None = None, *, status: int = 200) -> None:
        body = json.dumps(content).encode()
        described = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        self._answer(status, described | dict(headers or {}))
        if self.command != "HEAD":
            self.entry.sent += len(body)
            self.wfile.write(body)

    def _answer(self, status: int, headers: Mapping[str, str]) -> None:
        self.entry.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _file(self, commit: Commit, file: File) -> None:
        span = _span(self.headers.get("Range"), file.size)
        headers = {"ETag": f'"{file.etag}"', "X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        if span is None:
            raise RefusalError(416, message="Range not satisfiable", headers={"Content-Range": f"bytes */{file.size}"})
        if len(span) < file.size:
            headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{file.size}"
        self._answer(206 if len(span) < file.size else 200, headers | {"Content-Length": str(len(span))})
        if self.command == "HEAD":
            return
        cut = self.server.hub.trouble(self.entry.path, span)
        stop = cut.offset if cut else span.stop
        with file.source.open("rb") as stream:
            stream.seek(span.start)
            for start in range(span.start, stop, CHUNK_BYTES):
                chunk = stream.read(min(CHUNK_BYTES, stop - start))
                self.entry.sent += len(chunk)
                self.wfile.write(chunk)
        if cut:
            self.close_connection = True
            if cut.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())


def _is_set(fields: Mapping[str, list[str]], name: str) -> bool:
    return fields.get(name, [""])[0].lower() in {"true", "1"}


def _span(header: str | None, size: int) -> range | None:
    """Read a Range header: the bytes to send, None where the file has none of them."""
    if not header:
        return range(size)
    first, _, last = header.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    return range(start, stop) if start < stop else None
