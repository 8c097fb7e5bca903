"""A web server on this machine, which sends parts of files or only whole ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@contextmanager
def serve(
    files: Mapping[str, bytes], *, ranges: bool = True, refused: Mapping[str, int] | None = None, faults: int = 0
) -> Iterator[tuple[str, list[str]]]:
    """Serve files by path.

    Args:
        files: Content by path, without the first slash.
        ranges: Send parts; otherwise always the whole file.
        refused: Status by path, instead.
        faults: The connection breaks before that many answers.

    Yields:
        The address, and the ranges asked for, to which requests add.
    """
    asked: list[str] = []
    left = [faults]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].lstrip("/")
            if left[0]:
                left[0] -= 1
                self.connection.close()
                return
            if path not in files:
                self.send_error((refused or {}).get(path, 404))
                return
            content, wanted = files[path], self.headers["Range"]
            asked.append(wanted or "all")
            self.send_response(206 if wanted and ranges else 200)
            if wanted and ranges:
                first, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
                content = content[first : last + 1]
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
