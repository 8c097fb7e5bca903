"""From a request to a call of a plain function, and from its outcome to an answer."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from clipbench.annotate.masks import Mask, from_image
from clipbench.annotate.server.security import TooLarge
from clipbench.annotate.server.workbench import Workbench
from clipbench.annotate.session import Session
from clipbench.errors import ClipbenchError, ConfigError, DataError

_LOG = logging.getLogger("clipbench")
_LARGEST_JSON = 64 * 2**10  # bytes
_BROWSER = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class Call:
    """What a page asks for.

    Attributes:
        bench: The set and its tools.
        annotator: Who asks; empty before a name is given.
        browser: Tells two browsers of one annotator apart.
        path: Parts of the address.
        query: What follows the question mark.
        body: Of the request, as sent.
    """

    bench: Workbench
    annotator: str
    browser: str
    path: dict[str, Any]
    query: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def session(self) -> Session:
        """The annotator's session.

        Raises:
            ConfigError: No name is given, or it cannot be one.
        """
        return Session(self.bench.store, self.annotator, self.browser)

    @property
    def pair(self) -> int:
        """The pair's number in the address."""
        return int(self.path["pair"])

    def json(self) -> dict[str, Any]:
        """The body, an object of JSON.

        Raises:
            ConfigError: It is something else, or too long.
        """
        if len(self.body) > _LARGEST_JSON:
            raise TooLarge
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ConfigError("the request holds no JSON object")
        return value

    def text(self, name: str) -> str:
        """A text of the body. Raises ConfigError if it is missing or something else."""
        value = self.json().get(name)
        if not isinstance(value, str):
            raise ConfigError(f"{name}: give a text")
        return value

    def number(self, name: str) -> int:
        """A whole number of the body. Raises ConfigError if it is missing or something else."""
        value = self.json().get(name)
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**63:
            raise ConfigError(f"{name}: give a whole number")
        return value

    def mask(self, size: tuple[int, int]) -> Mask:
        """The mask, (H, W), in the body: a PNG, white on black, of `size` (width, height).

        Raises:
            DataError: It is no PNG, or has another size.
        """
        try:
            image = Image.open(io.BytesIO(self.body), formats=["PNG"])
            if image.size == size:  # before a pixel is decoded
                return from_image(image.convert("RGB"), size)  # a canvas's PNG has an alpha channel, opaque all over
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            raise DataError("mask: not a PNG that can be read") from None
        raise DataError(f"mask: {image.size} pixels, and the photograph has {size}")


Handler = Callable[[Call], "Response | dict[str, Any]"]


def endpoint(bench: Workbench, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that runs `handler` in a thread; what a user did wrong becomes an answer with the message."""

    async def answer(request: Request) -> Response:
        try:
            browser = request.headers.get("x-browser", "")
            call = Call(
                bench,
                unquote(request.headers.get("x-annotator", "")),
                browser if _BROWSER.fullmatch(browser) else "",
                request.path_params,
                dict(request.query_params),
                await request.body(),
            )
            outcome = await run_in_threadpool(handler, call)
        except TooLarge as error:
            return _problem(str(error), 413)
        except ClipbenchError as error:
            return _problem(str(error), 400)
        except Exception as error:  # a defect: said, without ending the page's work
            _LOG.warning("%s %s failed: %s: %s", request.method, request.url.path, type(error).__name__, error)
            _LOG.debug("its traceback", exc_info=True)
            return _problem(f"the server failed: {type(error).__name__}", 500)
        if isinstance(outcome, Response):
            return outcome
        return JSONResponse(outcome, headers={"cache-control": "no-store"})

    return answer


def _problem(message: str, status: int) -> Response:
    return JSONResponse({"error": message}, status, headers={"cache-control": "no-store"})
