"""The page's own files, read once; nothing else of the disk is served."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

# Not asked of the system: on Windows, the registry may call JavaScript plain text, which a browser then refuses.
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def _read() -> dict[str, tuple[bytes, str]]:
    found = {}
    for file in files(__package__).joinpath("static").iterdir():
        kind = _TYPES.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            found[file.name] = (file.read_bytes(), f"{kind}; charset=utf-8")
    return found


class Assets:
    """Endpoints for the page and its files."""

    def __init__(self) -> None:
        self._files = _read()

    async def page(self, request: Request) -> Response:
        """The page itself. Never kept by the browser: an update must not meet yesterday's page."""
        return self._answer("index.html")

    async def file(self, request: Request) -> Response:
        """One of its files, by name."""
        return self._answer(request.path_params["name"])

    def _answer(self, name: str) -> Response:
        if name not in self._files:
            return Response(status_code=404)
        content, kind = self._files[name]
        return Response(content, headers={"content-type": kind, "cache-control": "no-cache"})
