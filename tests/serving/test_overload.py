"""What a server says when it has too much to do, is late, or fails; a slow network stands in for a large one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from multihot.data.tokens import TokenizedTexts
from multihot.serving.app import create_app, start_running
from multihot.serving.connections import BoundedConnection
from multihot.serving.engine import Engine
from multihot.serving.guard import Guard
from multihot.serving.options import ServeOptions
from multihot.serving.running import Running

pytestmark = pytest.mark.slow

BODY = b'{"texts": ["i am happy"]}'


class _Slow:
    """Computes when it is let go."""

    def __init__(self, compute: Callable[[TokenizedTexts], Any]) -> None:
        self.gate = threading.Event()
        self.num_texts = 0
        self._compute = compute

    def __call__(self, texts: TokenizedTexts) -> Any:
        assert self.gate.wait(30)
        self.num_texts += len(texts)
        return self._compute(texts)


@pytest.fixture
def running(exported_model: Path) -> Iterator[Running]:
    options = ServeOptions((str(exported_model),), max_queue_tokens=10, deadline_seconds=1.0)
    started = start_running(options)
    started.engine = Engine(num_passes=1, max_queue_tokens=10)
    yield started
    started.close()


def _slowed(running: Running) -> _Slow:
    model = running.model(None)
    slow = _Slow(model.now.compute)
    model.now = replace(model.now, compute=slow)
    return slow


async def _ask(
    app: Guard, path: str = "/v1/predict", *, stays: bool = True
) -> tuple[int, Any, Any]:
    """Return status, headers and JSON of an answer; a client that does not stay leaves when it has asked."""
    sent: list[Any] = []
    given = [{"type": "http.request", "body": BODY, "more_body": False}]

    async def receive() -> Any:
        if given:
            return given.pop()
        if stays:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])


def _run(task: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await task()

    asyncio.run(bounded())


def test_too_much_work_is_refused_with_a_time_to_come_back(running: Running) -> None:
    slow = _slowed(running)
    app = create_app(running)

    async def task() -> None:
        asked = [asyncio.ensure_future(_ask(app)) for _ in range(6)]
        while not running.engine.is_full:
            await asyncio.sleep(0.01)
        status, headers, problem = await _ask(app)
        assert status == 429
        assert int(headers[b"retry-after"]) >= 1
        assert problem["status"] == 429
        slow.gate.set()
        statuses = [each[0] for each in await asyncio.gather(*asked)]
        assert set(statuses) == {200, 429}

    _run(task)


_HEADERS = [
    (b"host", b"127.0.0.1"),
    (b"content-type", b"application/json"),
    (b"x-request-id", b"r"),
]


def _num_refused(running: Running) -> float:
    counted = b'multihot_requests_total{route="other",status="429"} '
    return float(running.metrics.exposition().partition(counted)[2].split()[0])


def _lines(answer: bytes) -> tuple[dict[bytes, bytes], Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return dict(line.split(b": ", 1) for line in head.split(b"\r\n")), json.loads(body)


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/moderations", "/predict", "/no/such/route"])
def test_what_is_refused_without_a_task_gets_the_answer_of_what_is_refused_with_one(
    path: str, running: Running
) -> None:
    _slowed(running)
    app = create_app(running)

    async def task() -> None:
        assert app.busy_answer(b"POST", path.encode(), _HEADERS) is None
        asked = [asyncio.ensure_future(_ask(app)) for _ in range(6)]
        while not running.engine.is_full:
            await asyncio.sleep(0.01)
        status, headers, problem = await _ask(app, path)
        before = _num_refused(running)
        answer = app.busy_answer(b"POST", path.encode(), _HEADERS)
        assert status == 429
        assert answer is not None
        found, content = _lines(answer)
        assert content == problem
        assert found == {**headers, b"x-request-id": b"r"}
        assert _num_refused(running) == before + 1
        for each in asked:
            each.cancel()

    _run(task)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        (b"GET", b"/v1/models", _HEADERS),
        (b"POST", b"/livez", _HEADERS),
        (b"POST", b"/v1/predict?a=1", _HEADERS),
        (b"POST", b"/v1/predict", [*_HEADERS, (b"host", b"127.0.0.1")]),
        (b"POST", b"/v1/predict", [(b"host", b"elsewhere.example")]),
        (b"POST", b"/v1/predict", [*_HEADERS, (b"origin", b"https://elsewhere.example")]),
        (b"POST", b"/v1/predict", [*_HEADERS, (b"expect", b"100-continue")]),
        (b"POST", b"/v1/predict", [*_HEADERS, (b"authorization", b"Bearer wrong")]),
    ],
)
def test_what_more_than_the_load_refuses_is_not_refused_without_a_task(
    method: bytes, path: bytes, headers: list[tuple[bytes, bytes]], running: Running
) -> None:
    if dict(headers).get(b"authorization"):
        running.options = replace(running.options, token="right")
    running.engine = Engine(max_queue_tokens=0)
    guard = create_app(running)

    assert guard.busy_answer(method, path, headers) is None
    right = [*_HEADERS, (b"authorization", b"Bearer right")]
    assert guard.busy_answer(b"POST", b"/v1/predict", right) is not None


@contextlib.contextmanager
def _listening(running: Running) -> Iterator[socket.socket]:
    """Yield a connection to a server in a thread of this process."""
    config = uvicorn.Config(
        create_app(running),
        http=BoundedConnection,
        log_config=None,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        with socket.create_connection(bound.getsockname(), timeout=20) as connection:
            yield connection
        server.should_exit = True
        thread.join(20)


def _statuses(connection: socket.socket, count: int) -> list[bytes]:
    """Read so many answers; return their statuses."""
    received = b""
    while received.count(b"}") < count:  # the bodies are flat objects
        received += connection.recv(65536)
        assert received
    return [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]


def test_a_connection_whose_requests_were_refused_goes_on(running: Running) -> None:
    head = b"POST /v1/predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    post = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(BODY), BODY)
    chunked = b"%btransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (head, len(BODY), BODY)
    live = b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    free, running.engine = running.engine, Engine(max_queue_tokens=0)

    with _listening(running) as connection:
        connection.sendall(post + chunked + live + post + post[:-5])
        assert _statuses(connection, 5) == [b"429", b"429", b"200", b"429", b"429"]
        running.engine = free
        connection.sendall(post[-5:] + live)
        assert _statuses(connection, 1) == [b"200"]
        connection.sendall(post)
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_refusals_that_a_client_does_not_read_are_not_kept_without_end(running: Running) -> None:
    post = (
        b"POST /v1/predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"content-length: 0\r\n\r\n"
    )
    running.engine = Engine(max_queue_tokens=0)

    with _listening(running) as connection:
        connection.settimeout(3.0)
        with pytest.raises((TimeoutError, ConnectionError)):
            connection.sendall(post * 200_000)


def test_an_answer_that_is_late_is_given_up(running: Running) -> None:
    slow = _slowed(running)
    app = create_app(running)

    async def task() -> None:
        assert (await _ask(app))[0] == 504
        slow.gate.set()
        assert (await _ask(app))[0] == 200

    _run(task)


def test_a_client_that_leaves_is_not_computed(running: Running) -> None:
    slow = _slowed(running)
    app = create_app(running)

    async def task() -> None:
        first = asyncio.ensure_future(_ask(app))
        while running.num_active < 1 or running.engine.queue_tokens:
            await asyncio.sleep(0.01)
        assert (await _ask(app, stays=False))[0] == 499
        assert running.engine.queue_tokens == 0
        slow.gate.set()
        assert (await first)[0] == 200
        assert running.num_active == 0

    _run(task)
    assert slow.num_texts == 1


def test_a_failure_tells_the_client_nothing(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(texts: TokenizedTexts) -> np.ndarray:
        raise RuntimeError("/a/secret/path and a text of somebody")

    model = running.model(None)
    model.now = replace(model.now, compute=fails)
    app = create_app(running)

    async def task() -> None:
        status, headers, problem = await _ask(app)
        assert status == 500
        assert "secret" not in json.dumps(problem)
        assert headers[b"x-request-id"].decode() in problem["detail"]

    _run(task)
    logged = capsys.readouterr().err
    assert "RuntimeError" in logged
    assert "secret" not in logged
