"""A server in a thread of the test, and requests that may be as wrong as one likes."""

import http.client
import json
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

from clipbench.annotate.server.serving import PageServer


@contextmanager
def running(bench):
    server = PageServer(bench)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server.address
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


class Client:
    """A browser without a page: keeps the cookie, as browsers do."""

    def __init__(self, address, annotator="Ada", browser="b1"):
        parts = urlsplit(address)
        self.host, self.token = parts.netloc, parts.query.removeprefix("token=")
        self.port = parts.port
        self.headers = {"X-Annotator": annotator, "X-Browser": browser}
        self.cookie = self.raw("GET", f"/?token={self.token}")[1]["set-cookie"]
        self.headers["Cookie"] = self.cookie.partition(";")[0]

    def raw(self, method, path, body=None, **headers):
        """Status, headers (names in lower case), content."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Host": self.host, **headers})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def call(self, method, path, body=None, **headers):
        """Status and JSON."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        status, _, answer = self.raw(method, path, content, **{**self.headers, **headers})
        return status, json.loads(answer)

    def get(self, path):
        status, answer = self.call("GET", path)
        assert status == 200, answer
        return answer

    def post(self, path, body=None):
        status, answer = self.call("POST", path, {} if body is None else body)
        assert status == 200, answer
        return answer
