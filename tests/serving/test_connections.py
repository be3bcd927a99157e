"""What one connection may send before it is answered, and that its answers come in order."""

from __future__ import annotations

import json
import socket
import time

import pytest

from served import Served

pytestmark = pytest.mark.slow

_GET = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_BODY = json.dumps({"texts": ["i am happy"]}).encode()
_POST = (
    b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)
_CHUNKED = _POST.replace(b"Content-Length: %d" % len(_BODY), b"Transfer-Encoding: chunked")


def _connected(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def _all(connection: socket.socket) -> bytes:
    received = b""
    while more := connection.recv(65536):
        received += more
    return received


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
        b"GET /",
        b"",
        _CHUNKED.replace(_BODY, b"5;"),
        _CHUNKED.replace(_BODY, b"0\r\nX: "),
    ],
    ids=["header", "address", "no request", "between chunks", "behind the body"],
)
def test_what_has_no_end_is_not_read_to_its_end(beginning: bytes, server: Served) -> None:
    rest = (b"a" if beginning else b"\r\n") * (1 << 24)
    with _connected(server) as connection, pytest.raises(ConnectionError):
        connection.sendall(beginning + rest)


def test_requests_that_are_sent_in_a_row_are_answered_in_order(server: Served) -> None:
    with _connected(server) as connection:
        connection.sendall(
            (_GET + _POST) * 10 + _GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        answers = _all(connection).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200"] * 21
    assert [b'"alive"' in answer for answer in answers] == [True, False] * 10 + [True]


def test_too_many_requests_in_a_row_are_not_kept(server: Served) -> None:
    with _connected(server) as connection:
        connection.sendall(_GET * 1500)
        try:
            answers = _all(connection)
        except ConnectionResetError:  # the rest of the requests was not read
            return
    assert 1 <= answers.count(b"HTTP/1.1 200") < 1500
    assert answers.count(b"HTTP/1.1 ") == answers.count(b"HTTP/1.1 200")


def test_what_is_no_request_does_not_take_the_answer_of_the_one_before(server: Served) -> None:
    with _connected(server) as connection:
        connection.sendall(_POST + b"NONSENSE\r\n\r\n")
        answer = _all(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"results"' in answer


def test_a_client_that_leaves_with_half_a_body_is_no_failure(server: Served) -> None:
    with _connected(server) as connection:
        connection.sendall(_POST[:-5])
    deadline = time.monotonic() + 20
    while b'status="499"' not in (metrics := server.ask("GET", "/metrics").body):
        assert time.monotonic() < deadline
    assert b'status="500"' not in metrics
