"""Who may talk to the server: the page it gave out itself, opened by whoever knows the token.

A server on this machine is within reach of every web site that is open in the browser. Three things keep them out:
a token that only the printed address holds, the names under which the server answers (a site's own name that was
pointed at 127.0.0.1 is none of them), and the origin that browsers attach to requests of other sites.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clipbench.errors import ClipbenchError

LARGEST_UPLOAD = 64 * 2**20  # bytes: a mask as PNG, however large the photograph
_HEADERS = {
    # Everything the page uses comes from here; nothing in it may run, embed or send anything else.
    "content-security-policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the token is in the first address
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class TooLarge(ClipbenchError):
    """An upload beyond the bound."""

    def __init__(self) -> None:
        super().__init__(f"more than {LARGEST_UPLOAD // 2**20} MiB are not taken")


def make_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(24)


class Guard:
    """ASGI middleware: refuses requests without the token, for another host, or from another origin.

    The token comes in the address once and is then kept in a cookie, which scripts cannot read and other sites cannot
    make a browser send. Cookies do not tell ports apart, so that its name does.

    Args:
        app: What is guarded.
        token: The token.
        hosts: ``name:port`` under which the server answers; the port also names the cookie.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Sequence[str]) -> None:
        self._app = app
        self._token = token
        self._hosts = {host.lower() for host in hosts}
        self._cookie = f"clipbench_annotate_{hosts[0].rpartition(':')[2]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it with the refusal."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets
            return
        headers = Headers(scope=scope)
        in_address = self._matches(QueryParams(scope["query_string"]).get("token", ""))
        refusal = self._refusal(scope, headers, in_address)
        hand_over = in_address and scope["path"] == "/"

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer[name] = value
                if hand_over and refusal is None:
                    cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
                    answer.append("set-cookie", cookie)
            await send(message)

        if refusal is not None:
            await refusal(scope, receive, send_guarded)
            return
        await self._app(scope, _limited(receive), send_guarded)

    def _matches(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self._token.encode())

    def _refusal(self, scope: Scope, headers: Headers, in_address: bool) -> Response | None:
        if headers.get("host", "").lower() not in self._hosts:
            return _refused("this server does not answer under that name")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() not in self._hosts:
            return _refused("requests from other sites are refused")
        page = scope["path"] == "/" and scope["method"] == "GET"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not page:
            return _refused("requests from other sites are refused")
        cookie = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
        if not (self._matches(cookie) or (in_address and page)):
            return _refused("open the address that the terminal shows: it holds the token")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST_UPLOAD:
            return JSONResponse({"error": str(TooLarge())}, 413)
        return None


def _refused(why: str) -> Response:
    return JSONResponse({"error": why}, 403)


def _limited(receive: Receive) -> Receive:
    """The same, refusing a body that grows beyond the bound without having said so."""
    seen = 0

    async def receive_limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > LARGEST_UPLOAD:
            raise TooLarge
        return message

    return receive_limited
