"""Who is let in: the page that was opened with the token, and nobody else."""

import socket
from types import SimpleNamespace

import pytest

from clipbench.annotate.jobs import Jobs
from clipbench.annotate.server.security import LARGEST_UPLOAD
from clipbench.annotate.server.serving import PageServer
from clipbench.errors import ConfigError
from tests.annotate.server.serving import Client, running


@pytest.fixture(scope="module")
def bench():
    return SimpleNamespace(jobs=Jobs(), store=SimpleNamespace(concept=SimpleNamespace(name="color")))


@pytest.fixture(scope="module")
def client(bench):
    with running(bench) as address:
        yield Client(address, annotator="")


def test_only_this_machine_is_answered(client):
    assert client.host.startswith("127.0.0.1:")


def test_the_token_is_exchanged_for_a_cookie_that_scripts_and_other_sites_have_no_use_of(client):
    parts = {part.strip() for part in client.cookie.split(";")}
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= parts
    assert str(client.port) in client.cookie.partition("=")[0], "cookies do not tell ports apart"
    assert client.call("GET", "/api/set") == (200, {"concept": "color"})


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/set", "/?token=wrong", "/?token=", "/?token=%ff"])
def test_without_the_token_nothing_is_answered(client, path):
    status, _, content = client.raw("GET", path)
    assert status == 403
    assert b"token" in content


@pytest.mark.parametrize("cookie", ["", "wrong", "é", "%s; "])
def test_a_wrong_cookie_is_no_token(client, cookie):
    name = client.headers["Cookie"].partition("=")[0]
    assert client.raw("GET", "/api/set", Cookie=f"{name}={cookie}".encode("latin-1"))[0] == 403


def test_the_token_in_the_address_opens_the_page_only(client):
    assert client.raw("GET", f"/api/set?token={client.token}")[0] == 403
    assert client.raw("POST", f"/api/next?token={client.token}", b"{}")[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another port of this machine
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1.evil.example:80"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_origins_and_names_are_refused_even_with_the_cookie(client, headers, method):
    path = "/api/set" if method == "GET" else "/api/next"
    assert client.raw(method, path, b"{}", **{**client.headers, **headers})[0] == 403


def test_the_page_own_origin_is_let_in(client):
    own = {"Origin": f"http://{client.host}", "Sec-Fetch-Site": "same-origin"}
    assert client.raw("GET", "/api/set", **client.headers, **own)[0] == 200


def test_a_link_from_elsewhere_opens_the_page(client):
    """As from a terminal in the browser. A redirect would lose the strict cookie, so the page is given at once."""
    status, headers, content = client.raw("GET", f"/?token={client.token}", **{"Sec-Fetch-Site": "cross-site"})
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<main" in content


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/set", "/nowhere"])
def test_every_answer_forbids_what_the_page_does_not_need(client, path):
    _, headers, _ = client.raw("GET", path, **client.headers)
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/static/../app.js", "/static/%2e%2e%2fapi.py", "/static/page", "/static/"])
def test_no_other_file_is_served(client, path):
    assert client.raw("GET", path, **client.headers)[0] == 404


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(client):
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        head = [f"POST /api/next HTTP/1.1\r\nHost: {client.host}", f"Cookie: {client.headers['Cookie']}"]
        head += [f"Content-Length: {LARGEST_UPLOAD + 1}", "\r\n"]
        connection.sendall("\r\n".join(head).encode())
        assert connection.recv(200).startswith(b"HTTP/1.1 413")


def test_a_body_that_grows_too_large_is_refused(client, monkeypatch):
    monkeypatch.setattr("clipbench.annotate.server.security.LARGEST_UPLOAD", 1000)
    parts = iter([b"x" * 600] * 3)
    status, _, content = client.raw("POST", "/api/next", parts, **client.headers)
    assert (status, b"more than" in content) == (413, True)


def test_a_taken_port_is_named(bench, client):
    with pytest.raises(ConfigError, match=f"`port` {client.port}: Address already in use: give another one, or 0"):
        PageServer(bench, port=client.port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_an_impossible_port_is_refused(bench, port):
    with pytest.raises(ConfigError, match=f"`port` {port}: give a number from 0 to 65535"):
        PageServer(bench, port=port)


def test_a_host_that_is_not_of_this_machine_is_refused(bench):
    with pytest.raises(ConfigError, match="host"):
        PageServer(bench, host="192.0.2.1")
