"""Every row of the checklist: who may ask, in what form, how much, and for how long."""

from __future__ import annotations

import base64
import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from multihot.errors import OptionError
from multihot.serving.options import ServeOptions, read_token
from served import Served, serving

pytestmark = pytest.mark.slow

TOKEN = "0123456789abcdef-for-tests"
BODY = json.dumps({"texts": ["i am happy"]}).encode()


@pytest.fixture(scope="module")
def guarded(exported_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a token and narrow limits."""
    token = tmp_path_factory.mktemp("token") / "token.txt"
    token.write_text(f"{TOKEN}\n", "utf-8")
    limits = ("--max-texts", "3", "--max-characters", "100", "--max-body-bytes", "4000")
    more = ("--body-deadline", "0.5", "--allowed-host", "Model.Example", "--log-requests")
    origin = ("--allowed-origin", "https://page.example", "--token-file", str(token))
    with serving(exported_model, options=(*limits, *more, *origin)) as served:
        yield served


def _ask(guarded: Served, raw: bytes = BODY, path: str = "/v1/predict", **headers: str) -> int:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given = {"authorization": f"Bearer {TOKEN}", **given}
    return guarded.ask("POST", path, raw=raw, headers=given).status


def _sent(guarded: Served, *parts: bytes) -> bytes:
    """Send raw bytes and return all that comes back until the connection is closed."""
    received = b""
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            while more := connection.recv(65536):
                received += more
        except (ConnectionResetError, BrokenPipeError):
            pass
    return received


def _head(*lines: str) -> bytes:
    always = ("POST /v1/predict HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {TOKEN}")
    return "\r\n".join([*always, "Content-Type: application/json", *lines, "", ""]).encode()


def test_other_machines_are_served_only_with_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "model.example"):
        with pytest.raises(OptionError):
            ServeOptions(("model",), host=host)
        ServeOptions(("model",), host=host, token=TOKEN)
        ServeOptions(("model",), host=host, insecure=True)
    assert ServeOptions(("model",)).host == "127.0.0.1"


@pytest.mark.parametrize("content", ["", "short", "with a space in it, so no token", "ä" * 40])
def test_a_poor_token_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(content, "utf-8")
    with pytest.raises(OptionError):
        read_token(str(tmp_path / "token"))


def test_every_route_wants_the_token(guarded: Served) -> None:
    given = {"authorization": f"Bearer {TOKEN}"}
    routes = guarded.ask("GET", "/openapi.json", headers=given).json()["paths"]
    paths = [(path, method.upper()) for path, methods in routes.items() for method in methods]
    assert len(paths) >= 7
    for path, method in [*paths, ("/openapi.json", "GET"), ("/nothing", "GET"), ("/", "GET")]:
        for wrong in ({}, {"authorization": f"Bearer {TOKEN}x"}, {"authorization": "Basic ?"}):
            reply = guarded.ask(method, path, headers=wrong)
            assert (path, reply.status) == (path, 401)
            assert "Bearer" in reply.headers["www-authenticate"]


def test_the_token_comes_as_bearer_or_as_the_password_of_a_browser(guarded: Served) -> None:
    basic = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
    assert _ask(guarded) == 200
    assert _ask(guarded, authorization=f"Basic {basic}") == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200),
        ("[::1]", 200),
        ("localhost", 200),
        ("model.example:80", 200),
        ("elsewhere.example", 403),
        ("127.0.0.1.elsewhere.example", 403),
        ("127.0.0.1 elsewhere", 403),
        ("", 403),
    ],
)
def test_names_of_other_hosts_are_refused(guarded: Served, host: str, status: int) -> None:
    assert _ask(guarded, host=host) == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:{port}", 200),
        ("https://page.example", 200),
        ("http://elsewhere.example", 403),
        ("https://page.example.elsewhere.example", 403),
        ("null", 403),
        ("file://", 403),
    ],
)
def test_pages_of_other_origins_are_refused(guarded: Served, origin: str, status: int) -> None:
    assert _ask(guarded, origin=origin.format(port=guarded.port)) == status


def test_an_allowed_page_may_ask_from_its_browser(guarded: Served) -> None:
    given = {"origin": "https://page.example", "access-control-request-method": "POST"}
    wanted = {"access-control-request-headers": "authorization,x-stainless-lang"}
    reply = guarded.ask("OPTIONS", "/v1/predict", headers={**given, **wanted})
    assert reply.status == 204
    assert reply.headers["access-control-allow-headers"] == "authorization,x-stainless-lang"
    assert reply.headers["access-control-allow-origin"] == "https://page.example"
    other = guarded.ask("OPTIONS", "/v1/predict", headers={**given, "origin": "https://x.example"})
    assert other.status == 403
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"],
)
def test_only_json_is_read(guarded: Served, kind: str) -> None:
    assert _ask(guarded, content_type=kind) == 415
    assert _ask(guarded, content_type="application/json; charset=utf-16") == 415
    assert _ask(guarded, content_type="application/json; charset=utf-8") == 200


def test_compressed_bodies_are_refused(guarded: Served) -> None:
    assert _ask(guarded, gzip.compress(BODY), content_encoding="gzip") == 415


@pytest.mark.parametrize(
    "body",
    [
        b'{"texts": ["a"], "top_k": NaN}',
        b'{"texts": ["a"], "thresholds": {"joy": Infinity}}',
        b'{"texts": ["a"], "thresholds": {"joy": 1e999}}',
        b'{"texts": ["\\ud800"]}',
        b'{"texts": ["a"], "texts": ["b"]}',
        b'{"texts": ' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"texts": ["a"], "more": 1}',
        b'{"texts": "a"}',
        b'{"texts": [1]}',
        b'{"texts": [null]}',
        b'{"texts": []}',
        b'{"texts": ["a"], "top_k": 0}',
        b'{"texts": ["a"], "top_k": 1e9}',
        b'{"texts": ["a"], "top_k": true}',
        b'{"texts": ["a"], "thresholds": {"joy": 2}}',
        b'{"texts": ["a"], "thresholds": {"no such label": 0.5}}',
        b'{"texts": ["a"], "return": ["weights"]}',
        b'{"texts": ["a"]',
        b'{"texts": ["\xff"]}',
        b"[]",
        b"null",
        b"",
    ],
)
def test_what_is_not_as_described_is_refused(guarded: Served, body: bytes) -> None:
    reply = guarded.ask(
        "POST", "/v1/predict", raw=body, headers={"authorization": f"Bearer {TOKEN}"}
    )
    assert reply.status == 422
    problem = reply.json()
    assert problem["status"] == 422
    assert problem["detail"].endswith(".")
    assert reply.headers["content-type"] == "application/problem+json"


def test_a_request_is_bounded(guarded: Served) -> None:
    assert _ask(guarded, json.dumps({"texts": ["a"] * 3}).encode()) == 200
    assert _ask(guarded, json.dumps({"texts": ["a"] * 4}).encode()) == 413
    assert _ask(guarded, json.dumps({"texts": ["a" * 101]}).encode()) == 413
    assert _ask(guarded, json.dumps({"texts": ["a"], "x": "b" * 4000}).encode()) == 413


def test_a_body_without_a_stated_length_is_counted(guarded: Served) -> None:
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    head = _head("Transfer-Encoding: chunked", "Connection: close")
    received = _sent(guarded, head, chunk * 4 + b"0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 413")
    small = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    assert _sent(guarded, head, small).startswith(b"HTTP/1.1 200")


def test_two_lengths_are_refused(guarded: Served) -> None:
    both = _head("Content-Length: 5", "Transfer-Encoding: chunked")
    assert _sent(guarded, both, b"0\r\n\r\n").startswith(b"HTTP/1.1 4")
    twice = _head("Content-Length: 5", "Content-Length: 6")
    assert _sent(guarded, twice, b"12345").startswith(b"HTTP/1.1 4")
    doubled = _head(f"Authorization: Bearer {TOKEN}x", "Content-Length: 0", "Connection: close")
    assert _sent(guarded, doubled).startswith(b"HTTP/1.1 400")


def test_slow_bodies_and_slow_headers_are_given_up(guarded: Served) -> None:
    head = _head("Content-Length: 20")
    assert _sent(guarded, head + b"{").startswith(b"HTTP/1.1 408")
    assert _sent(guarded, head[:-2]).startswith(b"HTTP/1.1 408")
    assert _sent(guarded).startswith(b"HTTP/1.1 408")


def test_large_headers_are_given_up(guarded: Served) -> None:
    long = _head(f"X-Long: {'a' * 40_000}", "Content-Length: 0")
    assert _sent(guarded, long).startswith(b"HTTP/1.1 431")
    many = _head(*(f"X-{number}: 1" for number in range(200)), "Content-Length: 0")
    assert _sent(guarded, many).startswith(b"HTTP/1.1 431")


def test_an_upgrade_is_not_followed(guarded: Served) -> None:
    lines = ("GET /livez HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {TOKEN}")
    upgrade = ("Connection: Upgrade, close", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    received = _sent(guarded, "\r\n".join([*lines, *upgrade, "", ""]).encode())
    assert not received.startswith(b"HTTP/1.1 101")


def test_answers_carry_what_keeps_browsers_safe(guarded: Served) -> None:
    for reply in (
        guarded.ask("GET", "/livez"),
        guarded.ask("GET", "/livez", headers={"authorization": f"Bearer {TOKEN}"}),
    ):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert reply.headers["cache-control"] == "no-store"
        assert len(reply.headers["x-request-id"]) == 32


def test_a_request_keeps_its_number_unless_it_would_spoil_the_log(guarded: Served) -> None:
    given = {"authorization": f"Bearer {TOKEN}"}
    kept = guarded.ask("GET", "/livez", headers={**given, "x-request-id": "order-7"})
    spoilt = guarded.ask("GET", "/livez", headers={**given, "x-request-id": 'a", "b'})
    assert kept.headers["x-request-id"] == "order-7"
    assert spoilt.headers["x-request-id"] != 'a", "b'


def test_methods_and_routes_that_are_not_there(guarded: Served) -> None:
    given = {"authorization": f"Bearer {TOKEN}"}
    assert guarded.ask("GET", "/v1/predict", headers=given).status == 405
    assert guarded.ask("GET", "/docs", headers=given).status == 404
    assert guarded.ask("GET", "/../../etc/passwd", headers=given).status == 404
    assert guarded.ask("GET", "/%00", headers=given).status == 404
    assert guarded.ask("GET", f"/livez?{'a' * 3000}", headers=given).status == 414


def test_metrics_have_few_series_and_logs_have_no_texts(exported_model: Path) -> None:
    with serving(exported_model, options=("--log-requests",)) as server:
        for number in range(30):
            server.ask("GET", f"/made-up-{number}")
        server.predict("a secret of mine")
        metrics = server.ask("GET", "/metrics").body.decode()
        server.stop()
        said = "".join(server.said)

    assert "made-up" not in metrics
    assert "secret" not in said
    (logged,) = [json.loads(line) for line in said.splitlines() if "/v1/predict" in line]
    assert logged["status"] == 200
