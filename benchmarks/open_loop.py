"""Ask a server at a fixed rate, whatever it answers: requests are sent when they are due, not when others end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Outcome", "ask_at_rate"]

_HEAD = "POST /v1/predict HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"


@dataclass(frozen=True)
class Outcome:
    """One request: when it was due and answered, in seconds from the beginning, and its status.

    Status 0: no connection or no answer.
    """

    due: float
    answered: float
    status: int


class _Connection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.waiting: asyncio.Future[int] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or self.waiting is None:
            return
        lines = head.lower().split(b"\r\n")
        lengths = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
        if len(body) >= (lengths or [0])[0]:
            self._received = b""
            if not self.waiting.done():
                self.waiting.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(0)


async def ask_at_rate(
    port: int, texts: Sequence[str], *, rate: float, seconds: float, patience: float = 15.0
) -> list[Outcome]:
    """Send one text per request, `rate` requests a second for so many seconds; return what became of each."""
    loop = asyncio.get_running_loop()
    idle: list[_Connection] = []
    outcomes: list[Outcome] = []
    requests = [_request(port, text) for text in texts]
    began = loop.time()

    async def ask(due: float, content: bytes) -> None:
        status = 0
        try:
            while idle and idle[-1].transport is None:
                idle.pop()
            if idle:
                connection = idle.pop()
            else:
                _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
            connection.waiting = loop.create_future()
            assert connection.transport is not None
            connection.transport.write(content)
            async with asyncio.timeout(patience):
                status = await connection.waiting
            if connection.transport is not None:
                idle.append(connection)
        except (OSError, TimeoutError, AssertionError):
            pass
        outcomes.append(Outcome(due, loop.time() - began, status))

    tasks = []
    for number in range(int(rate * seconds)):
        due = number / rate
        if (pause := began + due - loop.time()) > 0:
            await asyncio.sleep(pause)
        tasks.append(asyncio.ensure_future(ask(due, requests[number % len(requests)])))
    await asyncio.gather(*tasks)
    for connection in idle:
        if connection.transport is not None:
            connection.transport.close()
    return outcomes


def _request(port: int, text: str) -> bytes:
    body = json.dumps({"texts": [text]}).encode()
    head = _HEAD.format(port=port) + f"content-length: {len(body)}\r\n\r\n"
    return head.encode() + body
